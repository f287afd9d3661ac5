package balance

import (
	"math"
	"testing"
)

func TestRequestCost(t *testing.T) {
	for _, test := range []struct {
		active int
		weight uint32
		bias   float64
		want   float64
	}{
		{0, 1, 1, 1},
		{3, 1, 1, 4},
		{3, 2, 1, 2},
		{0, 4, 1, 0.25},
		{3, 2, 0, 0.5}, // only the weight counts
		{99, 2, 0, 0.5},
		{3, 2, 2, 8},
		{3, 2, 0.5, 1},
		{0, 2, 100, 0.5},
		{math.MaxInt32, math.MaxInt32, 1, (math.MaxInt32 + 1.0) / math.MaxInt32},
	} {
		if got := RequestCost(test.active, test.weight, test.bias); math.Abs(got-test.want) > 1e-12 {
			t.Errorf("%d active, weight %d, bias %v: %v, want %v", test.active, test.weight, test.bias, got, test.want)
		}
	}
}
