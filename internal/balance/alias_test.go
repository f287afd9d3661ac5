package balance

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// chances returns with what probability each candidate is picked.
func (a *Alias) chances() []float64 {
	p := make([]float64, len(a.columns))
	for i, c := range a.columns {
		own := float64(c.own) / (1 << 32)
		p[i] += own / float64(len(p))
		p[c.other] += (1 - own) / float64(len(p))
	}
	return p
}

func TestAliasChancesAreWeights(t *testing.T) {
	check := func(t rapid.TB, weights []uint32) {
		for i, p := range NewAlias(weights).chances() {
			if want := float64(weights[i]) / sum(weights); math.Abs(p-want) > 1e-8 {
				t.Fatalf("%v: candidate %d has the chance %v, want %v", weights, i, p, want)
			}
		}
	}
	for _, weights := range [][]uint32{
		{7},
		{5, 1, 1},
		{3, 3, 3, 3, 3, 3, 3},
		{1, 100_000},
		{math.MaxInt32, 1, math.MaxInt32},
		repeat(999, 1, math.MaxInt32),
	} {
		check(t, weights)
	}
	rapid.Check(t, func(t *rapid.T) {
		weight := rapid.OneOf(rapid.Uint32Range(1, 10), rapid.Uint32Range(1, math.MaxInt32))
		check(t, rapid.SliceOfN(weight, 1, 50).Draw(t, "weights"))
	})
}

// A draw's high half is a place in the row of columns, its low half one in the
// column.
func TestAliasPicksFromColumns(t *testing.T) {
	for _, weights := range [][]uint32{{7}, {5, 1, 1}, {1, 2, 3, 4, 5}, repeat(1000, 1, 1000)} {
		a := NewAlias(weights)
		n := uint64(len(weights))
		for i, c := range a.columns {
			first := (uint64(i)<<32 + n - 1) / n
			last := (uint64(i+1)<<32+n-1)/n - 1
			for _, column := range []uint64{first, last} {
				for low, want := range map[uint32]int{
					0:              i,
					c.own - 1:      i,
					c.own:          int(c.other),
					math.MaxUint32: int(c.other),
				} {
					if c.own == 0 && low == 0 {
						want = int(c.other)
					}
					if got := a.Pick(column<<32 | uint64(low)); got != want {
						t.Fatalf("%v: column %d at %d: %d, want %d", weights, i, low, got, want)
					}
				}
			}
		}
	}
}
