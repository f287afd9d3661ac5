package selectors

import (
	"github.com/caddy-evenkeel/evenkeel/internal/balance"
	"github.com/caddy-evenkeel/evenkeel/pool"
)

// sample is some of n candidates, drawn at random. No two that follow each other
// are the same, so that two are two; of more, drawn from a larger pool, some may
// be.
type sample struct {
	n, choices int
	start      int
	draws      balance.Draws
}

func newSample(n, choices int, random uint64) sample {
	s := sample{n: n, choices: choices, draws: balance.Draws(random)}
	s.start = s.draws.Below(n)
	return s
}

// all yields the candidates drawn. Where as many were asked for as there are,
// it yields each of them once, starting anywhere.
func (s *sample) all(yield func(int) bool) {
	i, every := s.start, s.choices >= s.n
	for range min(s.choices, s.n) {
		if !yield(i) {
			return
		}
		if every {
			i++
		} else {
			i += 1 + s.draws.Below(s.n-1) // any but this one
		}
		if i >= s.n {
			i -= s.n
		}
	}
}

// pick returns the best of the sample; where none of it may be picked (best is
// below zero), any candidate that may.
func (s *sample) pick(q *pool.Query, best int) int {
	if best < 0 {
		return q.Any(s.start)
	}
	return best
}
