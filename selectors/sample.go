package selectors

import (
	"math/rand/v2"

	"github.com/caddy-evenkeel/evenkeel/internal/balance"
	"github.com/caddy-evenkeel/evenkeel/pool"
)

// sampler draws some candidates at random, for pickers that compare them. The first
// one is drawn by weight, so that it is the one to pick, and shares follow the
// weights, where the comparison finds no difference.
type sampler struct {
	table   *balance.Alias
	choices int // how many to draw
}

func newSampler(t *pool.Tier, choices int) sampler {
	return sampler{balance.NewAlias(weights(t)), choices}
}

// draw returns some of the query's candidates.
func (s *sampler) draw(q *pool.Query) sample {
	random := rand.Uint64()
	return sample{
		n: len(q.Candidates), choices: s.choices,
		first: s.table.Pick(random), draws: balance.Draws(random),
	}
}

// redraw draws again where the sample's first candidate may not be picked, and
// returns it; [pool.None] if none was found.
func (s *sampler) redraw(q *pool.Query, drawn *sample) int {
	for range maxDraws - 1 {
		drawn.first = s.table.Pick(rand.Uint64())
		if q.OK(drawn.first) {
			return drawn.first
		}
	}
	return pool.None
}

// sample is some of n candidates, drawn at random: the first by weight, each other
// one as likely as any but the one before it. So two are two; of more, drawn from a
// larger pool, some may be the same.
type sample struct {
	n, choices int
	first      int
	draws      balance.Draws
}

// others yields the candidates drawn but for the first. Where as many were asked
// for as there are, it yields each of them once.
func (s *sample) others(yield func(int) bool) {
	i, every := s.first, s.choices >= s.n
	for range min(s.choices, s.n) - 1 {
		if every {
			i++
		} else {
			i += 1 + s.draws.Below(s.n-1) // any but this one
		}
		if i >= s.n {
			i -= s.n
		}
		if !yield(i) {
			return
		}
	}
}

// pick returns the best of the sample; where none of it may be picked (best is
// below zero), any candidate that may.
func (s *sample) pick(q *pool.Query, best int) int {
	if best < 0 {
		return q.Any(s.first)
	}
	return best
}
