package selectors

import (
	"github.com/caddy-evenkeel/evenkeel/internal/balance"
	"github.com/caddy-evenkeel/evenkeel/pool"
)

// sampling is what policies have in common that compare some candidates drawn at
// random. The first one is drawn by weight, so that it is the one to pick, and
// shares follow the weights, where the comparison finds no difference.
type sampling struct {
	common

	random func() uint64
}

// Build implements [pool.Picker].
func (*sampling) Build(next, _ *pool.Tier, _ any) any { return balance.NewAlias(weights(next)) }

// draw returns as many of the query's candidates as there are choices.
func (p *sampling) draw(q *pool.Query, choices int) sample {
	random := p.random()
	return sample{
		n: len(q.Candidates), choices: choices,
		first: q.Made.(*balance.Alias).Pick(random), draws: balance.Draws(random),
	}
}

// redraw draws again where the first candidate may not be picked, and returns it;
// below zero if none was found.
func (p *sampling) redraw(q *pool.Query, s *sample) int {
	for range attempts - 1 {
		s.first = q.Made.(*balance.Alias).Pick(p.random())
		if q.OK(s.first) {
			return s.first
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
