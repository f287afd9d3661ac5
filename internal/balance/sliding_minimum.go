package balance

// SlidingMinimum is the least value that a number had within a span of time. It
// keeps only what can still become the minimum: earlier values, rising, each of
// which ended later than the one before.
type SlidingMinimum struct {
	seen   bool
	latest float64
	past   []pastValue
}

// pastValue is a value that the number had until an instant, when it rose.
type pastValue struct {
	value float64
	until int64
}

// Least sets the number's value as of now, and returns the least one within the
// given time. If that is less than the value now, until says how long it stays
// the least; else until is 0.
func (s *SlidingMinimum) Least(value float64, now, within int64) (least float64, until int64) {
	if s.seen && value > s.latest {
		s.past = append(s.past, pastValue{s.latest, now})
	}
	s.seen, s.latest = true, value
	// A past value that is no less than a later one is never the minimum again.
	for n := len(s.past); n > 0 && s.past[n-1].value >= value; n-- {
		s.past = s.past[:n-1]
	}
	for len(s.past) > 0 && now-s.past[0].until >= within {
		s.past = s.past[1:]
	}
	if len(s.past) == 0 {
		return value, 0
	}
	return s.past[0].value, s.past[0].until + within
}
