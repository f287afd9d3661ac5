package pool

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

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
