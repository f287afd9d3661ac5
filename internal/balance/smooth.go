// Package balance is the arithmetic of picking: pure functions and immutable
// tables. It knows nothing of Caddy, of clocks or of sources of randomness;
// counters, times and random numbers are arguments.
package balance

import (
	"math"
	"slices"
)

// Smooth is NGINX's smooth weighted round robin, unrolled into a table: at
// each pick every candidate's credit grows by its weight, and the candidate
// with the most credit (the first of equals) is taken and pays the total.
// Weights 5 1 1 give a a b a c a a. After a total of all weights the credits
// are back where they began, so one such cycle says it all, and a pick is one
// look into it.
//
// https://github.com/nginx/nginx/commit/52327e0627f49dbda1e8db695e63a4b0af4448b1
type Smooth struct {
	weights []int64  // in units of 1/grain
	total   int64    // likewise
	start   []int64  // credits before the first pick
	lead    []uint32 // picks until the credits are those of a cycle
	cycle   []uint32
}

// Credits are counted in fractions of a weight, since what is owed from before
// need not be whole; differences below slack are rounding errors of that, and
// equals stay equal.
const (
	grain = 1 << 20
	slack = grain / 1024
)

// leads is how many cycles the picks may take to become periodic after a start
// from arbitrary credits, before NewSmooth starts afresh instead.
const leads = 4

// NewSmooth returns the table for the given weights, all above zero. Owed are
// the picks that candidates are owed from before, as [Smooth.Owed] tells them;
// nil for none. It takes time and memory in proportion to [SmoothCost].
func NewSmooth(weights []uint32, owed []float64) *Smooth {
	s := &Smooth{weights: make([]int64, len(weights)), start: make([]int64, len(weights))}
	divisor := gcd(weights)
	for i, w := range weights {
		s.weights[i] = int64(w/divisor) * grain
		s.total += s.weights[i]
	}
	credit := make([]int64, len(weights))
	carried := false
	for i := range owed {
		credit[i] = int64(math.Round(owed[i] * float64(s.total)))
		carried = carried || credit[i] != 0
	}
	copy(s.start, credit)
	for range leads {
		if !carried {
			break
		}
		s.lead = s.run(credit, s.lead)
		before := slices.Clone(credit)
		s.cycle = s.run(credit, nil)
		if slices.Equal(before, credit) {
			return s
		}
		s.lead = append(s.lead, s.cycle...)
	}
	clear(s.start)
	clear(credit)
	s.lead = nil
	s.cycle = s.run(credit, nil)
	return s
}

// SmoothCost is the number of steps that making a table of these weights takes.
func SmoothCost(weights []uint32) uint64 {
	var total uint64
	divisor := uint64(gcd(weights))
	for _, w := range weights {
		total += uint64(w) / divisor
	}
	return total * uint64(len(weights))
}

// run appends one cycle of picks to picks, and moves the credits along.
func (s *Smooth) run(credit []int64, picks []uint32) []uint32 {
	for range s.total / grain {
		best := 0
		for i, w := range s.weights {
			credit[i] += w
			if credit[i] > credit[best]+slack {
				best = i
			}
		}
		credit[best] -= s.total
		picks = append(picks, uint32(best))
	}
	return picks
}

// At returns the candidate of the n-th pick, counted from zero.
func (s *Smooth) At(n uint64) int {
	if n < uint64(len(s.lead)) {
		return int(s.lead[n])
	}
	return int(s.cycle[(n-uint64(len(s.lead)))%uint64(len(s.cycle))])
}

// Owed returns how many picks, in fractions, each candidate is behind its
// share (or, below zero, ahead of it) after n picks.
func (s *Smooth) Owed(n uint64) []float64 {
	if lead := uint64(len(s.lead)); n > lead {
		n = lead + (n-lead)%uint64(len(s.cycle)) // whole cycles change nothing
	}
	credit := slices.Clone(s.start)
	for i, w := range s.weights {
		credit[i] += int64(n) * w
	}
	for i := range n {
		credit[s.At(i)] -= s.total
	}
	owed := make([]float64, len(credit))
	for i, c := range credit {
		owed[i] = float64(c) / float64(s.total)
	}
	return owed
}

// gcd returns the greatest common divisor of numbers above zero.
func gcd(numbers []uint32) uint32 {
	var a uint32
	for _, b := range numbers {
		for b != 0 {
			a, b = b, a%b
		}
		if a == 1 {
			break
		}
	}
	return max(a, 1)
}
