package balance

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func drawSlowStart(t *rapid.T) (window time.Duration, aggression float64) {
	window = time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(240*time.Hour)).Draw(t, "window"))
	return window, rapid.Float64Range(0.01, 100).Draw(t, "aggression")
}

func TestSlowStart(t *testing.T) {
	const s = time.Second
	for name, test := range map[string]struct {
		age, window time.Duration
		aggression  float64
		want        float64
	}{
		"before it began":             {-s, 10 * s, 1, 0.1},
		"just begun":                  {0, 10 * s, 1, 0.1},
		"as long as the floor":        {s, 10 * s, 1, 0.1},
		"evenly":                      {4 * s, 10 * s, 1, 0.4},
		"fast at first":               {4 * s, 16 * s, 2, 0.5},
		"slowly at first":             {8 * s, 16 * s, 0.5, 0.25},
		"slowly, and so on the floor": {4 * s, 16 * s, 0.5, 0.1},
		"almost there":                {10*s - 1, 10 * s, 1, 1},
		"at the end":                  {10 * s, 10 * s, 1, 1},
		"long after":                  {time.Hour, 10 * s, 0.01, 1},
	} {
		t.Run(name, func(t *testing.T) {
			if got := SlowStart(test.age, test.window, test.aggression); math.Abs(got-test.want) > epsilon {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}

func TestSlowStartGrowsFromATenthToOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		window, aggression := drawSlowStart(t)
		age := rapid.Int64Range(-int64(window), 2*int64(window))
		early, late := time.Duration(age.Draw(t, "early")), time.Duration(age.Draw(t, "late"))
		if early > late {
			early, late = late, early
		}
		first, then := SlowStart(early, window, aggression), SlowStart(late, window, aggression)
		if first < leastShare || then > 1 || first > then {
			t.Errorf("%v at %v, then %v at %v", first, early, then, late)
		}
	})
}

func TestSlowStartIsFasterWithMoreAggression(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		window, little := drawSlowStart(t)
		more := rapid.Float64Range(little, 100).Draw(t, "more")
		age := time.Duration(rapid.Int64Range(0, int64(window)).Draw(t, "age"))
		if a, b := SlowStart(age, window, little), SlowStart(age, window, more); b < a-epsilon {
			t.Errorf("%v with aggression %v, %v with %v", a, little, b, more)
		}
	})
}

// The age for a share is the one at which that is reached, to the nanosecond.
func TestSlowStartAgeIsTheInverse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		window, aggression := drawSlowStart(t)
		share := rapid.Float64Range(leastShare, 1).Draw(t, "share")
		age := SlowStartAge(share, window, aggression)
		// At the age of some days, a float64 is exact to no more than that.
		slack := time.Duration(float64(age)*1e-12) + 1
		below, above := SlowStart(age-slack, window, aggression), SlowStart(age+slack, window, aggression)
		if age < 0 || age > window || below > share+epsilon || above < share-epsilon {
			t.Errorf("the age for %v is %v of %v: from %v to %v", share, age, window, below, above)
		}
	})
}
