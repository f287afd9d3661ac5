package pool

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-evenkeel/evenkeel/internal/balance"
)

func drawSlowStart(t *rapid.T) *SlowStart {
	return &SlowStart{
		Window:     caddy.Duration(rapid.Int64Range(int64(time.Millisecond), int64(240*time.Hour)).Draw(t, "window")),
		Aggression: rapid.Float64Range(minAggression, maxAggression).Draw(t, "aggression"),
	}
}

// formula is the share in percent.
func (s *SlowStart) formula(began, now int64) float64 {
	return 100 * balance.SlowStart(time.Duration(now-began), time.Duration(s.Window), s.Aggression)
}

// At any time, from one step to the next, the share is what the formula says, to
// half a percent; steps that would follow each other too fast are longer.
func TestSlowStartIsWithinHalfAPercentOfTheFormula(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSlowStart(t)
		began := at(0)
		now := began + rapid.Int64Range(0, int64(s.Window)).Draw(t, "age")
		percent, next := s.percent(began, now)
		if next == 0 {
			next = now + 1
		}
		within := rapid.Int64Range(now, max(now, next-2)).Draw(t, "within")
		const rounding = 1e-6
		if want := s.formula(began, within); math.Abs(want-float64(percent)) > 0.5+rounding && next-now > int64(shortestStep) {
			t.Errorf("at %v of %v: %d%%, want %v", time.Duration(within-began), time.Duration(s.Window), percent, want)
		}
		if want := s.formula(began, now); math.Abs(want-float64(percent)) > 0.5+rounding {
			t.Errorf("as the step begins, at %v of %v: %d%%, want %v", time.Duration(now-began), time.Duration(s.Window), percent, want)
		}
	})
}

func TestSlowStartComesToItsEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSlowStart(t)
		began := at(0)
		percent, now := 0, began
		for steps := 0; ; steps++ {
			got, next := s.percent(began, now)
			if got < percent || got < 10 || got > 100 {
				t.Fatalf("%d%%, and then %d%%", percent, got)
			}
			if percent = got; next == 0 {
				break
			}
			if next < now+int64(shortestStep) {
				t.Fatalf("from %d to %d is too short a step", now, next)
			}
			if steps > 200 {
				t.Fatalf("%d%% after 200 steps", percent)
			}
			now = next
		}
		if percent != 100 || now-began < int64(s.Window) {
			t.Errorf("it ends at %d%%, at %v of %v", percent, time.Duration(now-began), time.Duration(s.Window))
		}
	})
}

func TestSlowStartOfOneThatNeverBegan(t *testing.T) {
	s := &SlowStart{Window: caddy.Duration(time.Hour), Aggression: 1}
	if percent, next := s.percent(0, at(0)); percent != 100 || next != 0 {
		t.Errorf("%d%% until %d", percent, next)
	}
}

func TestScaleKeepsProportions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weight := rapid.OneOf(
			rapid.Map(rapid.IntRange(1, 1000), func(n int) float64 { return float64(n) }),
			rapid.Map(rapid.IntRange(10, 100), func(n int) float64 { return float64(n) / 100 }),
			rapid.Map(rapid.IntRange(1, math.MaxInt32), func(n int) float64 { return float64(n) / 100 }),
		)
		weights := rapid.SliceOfN(weight, 1, 10).Draw(t, "weights")
		scaled := scale(weights)
		heaviest := slices.Index(weights, slices.Max(weights))
		unit := float64(scaled[heaviest]) / weights[heaviest]
		for i, w := range scaled {
			if w < 1 || w > math.MaxInt32 {
				t.Fatalf("%v becomes %d", weights[i], w)
			}
			// Rounded to an integer, but never to zero; so is the heaviest.
			want := weights[i] * unit
			if math.Abs(float64(w)-max(want, 1)) > 0.5+0.5*weights[i]/weights[heaviest] {
				t.Errorf("%v of %v becomes %d of %d", weights[i], weights[heaviest], w, scaled[heaviest])
			}
		}
	})
}

func TestScaleLeavesIntegersAsTheyAre(t *testing.T) {
	for _, test := range []struct {
		weights []float64
		want    []uint32
	}{
		{nil, []uint32{}},
		{[]float64{1, 1, 1}, []uint32{1, 1, 1}},
		{[]float64{math.MaxInt32, 7}, []uint32{math.MaxInt32, 7}},
		{[]float64{1, 0.1}, []uint32{100, 10}},
		{[]float64{3, 0.57}, []uint32{300, 57}},
		{[]float64{1, 0.001}, []uint32{100, 1}},
		{[]float64{math.MaxInt32, 0.5}, []uint32{math.MaxInt32, 1}},
	} {
		if got := scale(test.weights); !slices.Equal(got, test.want) {
			t.Errorf("%v becomes %v, want %v", test.weights, got, test.want)
		}
	}
}
