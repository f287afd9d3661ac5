package balance

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The variance is the mean of the squared differences of all pairs, halved.
func TestSuccessRateFloorAgainstNaiveComputation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rates := rapid.SliceOfN(rapid.Float64Range(0, 1), 1, 40).Draw(t, "rates")
		deviations := rapid.Float64Range(0, 5).Draw(t, "deviations")
		var sum, pairs float64
		for _, a := range rates {
			sum += a
			for _, b := range rates {
				pairs += (a - b) * (a - b)
			}
		}
		n := float64(len(rates))
		want := sum/n - deviations*math.Sqrt(pairs/(2*n*n))
		if got := SuccessRateFloor(rates, deviations); math.Abs(got-want) > 1e-7 {
			t.Errorf("%v, want %v", got, want)
		}
	})
}

func TestSuccessRateFloor(t *testing.T) {
	for name, test := range map[string]struct {
		rates      []float64
		deviations float64
		want       float64
	}{
		"nobody":             {nil, 1.9, 0},
		"one":                {[]float64{0.3}, 1.9, 0.3},
		"all alike":          {[]float64{0.7, 0.7, 0.7}, 1.9, 0.7},
		"one of five is bad": {[]float64{1, 1, 1, 1, 0}, 1.9, 0.04},
		"one of two is bad":  {[]float64{1, 0}, 1, 0},
		"no deviation":       {[]float64{1, 0.5}, 0, 0.75},
	} {
		t.Run(name, func(t *testing.T) {
			if got := SuccessRateFloor(test.rates, test.deviations); math.Abs(got-test.want) > epsilon {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}

func TestEjectionTime(t *testing.T) {
	const s = time.Second
	for name, test := range map[string]struct {
		base, limit time.Duration
		n           int
		want        time.Duration
	}{
		"first":                           {30 * s, 300 * s, 1, 30 * s},
		"second":                          {30 * s, 300 * s, 2, 60 * s},
		"just the limit":                  {30 * s, 300 * s, 10, 300 * s},
		"above the limit":                 {30 * s, 300 * s, 11, 300 * s},
		"a limit between two":             {30 * s, 100 * s, 4, 100 * s},
		"the limit is below the base":     {30 * s, s, 1, 30 * s},
		"the limit is below the base, on": {30 * s, s, 7, 30 * s},
		"far more than fit":               {30 * s, 300 * s, math.MaxInt, 300 * s},
		"a very short base":               {1, 300 * s, math.MaxInt, 300 * s},
		"a very long base":                {math.MaxInt64, math.MaxInt64, 2, math.MaxInt64},
	} {
		t.Run(name, func(t *testing.T) {
			if got := EjectionTime(test.base, test.limit, test.n); got != test.want {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}

func TestEjectionTimeAgainstAddingUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		long := rapid.Int64Range(1, int64(time.Hour))
		base, limit := time.Duration(long.Draw(t, "base")), time.Duration(long.Draw(t, "limit"))
		n := rapid.IntRange(1, 1000).Draw(t, "n")
		want := time.Duration(0)
		for range n {
			want = min(want+base, max(base, limit))
		}
		if got := EjectionTime(base, limit, n); got != want {
			t.Errorf("%v, want %v", got, want)
		}
	})
}
