package pool

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// change is a number as of an instant.
type change struct {
	at    int64
	value float64
}

// leastWithin goes through all changes, for the least value that held at some
// time within the span up to now.
func leastWithin(changes []change, now, span int64) float64 {
	least := math.Inf(1)
	for i, c := range changes {
		if i+1 == len(changes) || now-changes[i+1].at < span {
			least = min(least, c.value)
		}
	}
	return least
}

func TestLowsAreTheLeastWithinASpan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const span = int64(10)
		now := at(0)
		var l lows
		var changes []change
		for range rapid.IntRange(1, 60).Draw(t, "changes") {
			now += rapid.SampledFrom([]int64{0, 1, 2, 3, 5, 9, 10, 11, 50}).Draw(t, "step")
			value := rapid.SampledFrom([]float64{0, 0.28, 0.56, 0.84, 1}).Draw(t, "value")
			changes = append(changes, change{now, value})
			want := leastWithin(changes, now, span)
			least, until := l.least(value, now, span)
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

func TestLowsForgetWhatBearsOnNothing(t *testing.T) {
	var l lows
	for i := range int64(10_000) {
		l.least(float64(i%2), at(i), int64(time.Second))
		if len(l.past) > 2 {
			t.Fatalf("%d lows are kept of two numbers", len(l.past))
		}
	}
}

// drawBounds draws the shares of some tiers, and their bounds.
func drawBounds(t *rapid.T) (loads []float64, s *Snapshot) {
	loads = rapid.SliceOfN(rapid.SampledFrom([]float64{0, 0.1, 0.3, 1}), 2, 5).Draw(t, "loads")
	total := 0.0
	for _, load := range loads {
		total += load
	}
	if total == 0 {
		t.Skip("nobody is left")
	}
	s = &Snapshot{tiers: make([]*Tier, len(loads))}
	sum := 0.0
	for i := range loads {
		loads[i] /= total
		sum += loads[i]
		s.bounds = append(s.bounds, uint32(min(sum, 1)*math.MaxUint32))
	}
	return loads, s
}

func TestDrawsFallOnTiersByTheirShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		loads, s := drawBounds(t)
		const draws = 10_000
		counts := make([]int, len(loads))
		for n := range uint32(draws) {
			counts[s.tier(n*(math.MaxUint32/draws))]++
		}
		for i, n := range counts {
			if math.Abs(float64(n)-loads[i]*draws) > 2 {
				t.Errorf("tier %d of %v got %d of %d draws", i, loads, n, draws)
			}
		}
	})
}

func TestNoDrawFallsOnATierWithoutShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		loads, s := drawBounds(t)
		draws := []uint32{0, math.MaxUint32}
		for _, b := range s.bounds {
			draws = append(draws, b-1, b, b+1)
		}
		for _, draw := range draws {
			if i := s.tier(draw); loads[i] == 0 {
				t.Fatalf("draw %d falls on tier %d of %v", draw, i, loads)
			}
		}
	})
}
