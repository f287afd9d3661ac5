package balance

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// change is the value of a number as of an instant.
type change struct {
	at    int64
	value float64
}

// leastWithin goes through all changes and returns the least value that held at
// some time within the span up to now.
func leastWithin(changes []change, now, span int64) float64 {
	least := math.Inf(1)
	for i, c := range changes {
		if i+1 == len(changes) || now-changes[i+1].at < span {
			least = min(least, c.value)
		}
	}
	return least
}

func TestSlidingMinimumIsTheLeastWithinASpan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const span = int64(10)
		now := int64(time.Hour)
		var s SlidingMinimum
		var changes []change
		for range rapid.IntRange(1, 60).Draw(t, "changes") {
			now += rapid.SampledFrom([]int64{0, 1, 2, 3, 5, 9, 10, 11, 50}).Draw(t, "step")
			value := rapid.SampledFrom([]float64{0, 0.28, 0.56, 0.84, 1}).Draw(t, "value")
			changes = append(changes, change{now, value})
			want := leastWithin(changes, now, span)
			least, until := s.Least(value, now, span)
			if least != want {
				t.Fatalf("the least is %v, want %v", least, want)
			}
			switch {
			case want == value && until != 0:
				t.Fatalf("there is nothing to wait for until %d", until-now)
			case want < value && (leastWithin(changes, until-1, span) != want || leastWithin(changes, until, span) == want):
				t.Fatalf("%v does not last for just %d", want, until-now)
			}
		}
	})
}

func TestSlidingMinimumForgetsWhatNoLongerMatters(t *testing.T) {
	var s SlidingMinimum
	for i := range int64(10_000) {
		s.Least(float64(i%2), int64(time.Hour)+i*int64(time.Millisecond), int64(time.Second))
		if len(s.past) > 2 {
			t.Fatalf("%d values are kept of two numbers", len(s.past))
		}
	}
}
