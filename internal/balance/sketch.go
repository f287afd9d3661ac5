package balance

import "sync/atomic"

// Sketch estimates how often keys come, in little memory for any number of keys:
// a count-min sketch, whose estimates are never too small, and rarely much too
// large. It forgets: after so many keys, all counts are halved. Several
// goroutines may use it.
//
// G. Cormode, S. Muthukrishnan, An Improved Data Stream Summary: The Count-Min
// Sketch and its Applications, 2005; halving: G. Einziger, R. Friedman, B. Manes,
// TinyLFU, 2015.
type Sketch struct {
	rows   [2][]atomic.Uint32 // of counts, at places that keys are hashed to
	mask   uint64
	window uint32
	seen   atomic.Uint32 // sum of the counts in a row, but for what rounding takes
}

// NewSketch returns an empty sketch that remembers between half a window and a
// window of keys.
func NewSketch(window int) *Sketch {
	size := 1
	for size < window {
		size *= 2
	}
	s := &Sketch{mask: uint64(size - 1), window: uint32(window)}
	for i := range s.rows {
		s.rows[i] = make([]atomic.Uint32, size)
	}
	return s
}

// Add takes in a key, and returns how many times it has come of so many.
func (s *Sketch) Add(key uint64) (times, of uint32) {
	of = s.seen.Add(1)
	times = of
	for i := range s.rows {
		key = mix(key)
		times = min(times, s.rows[i][key&s.mask].Add(1))
	}
	if of == s.window {
		s.halve()
	}
	return times, of
}

// halve halves all counts. What comes meanwhile may be lost.
func (s *Sketch) halve() {
	for i := range s.rows {
		for j := range s.rows[i] {
			c := &s.rows[i][j]
			c.Store(c.Load() / 2)
		}
	}
	s.seen.Store(s.window / 2)
}
