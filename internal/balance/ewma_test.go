package balance

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestPeakEWMA(t *testing.T) {
	const ms, s = time.Millisecond, time.Second
	for name, test := range map[string]struct {
		estimate, sample, since, decay time.Duration
		want                           time.Duration
	}{
		"the first sample":                     {0, 40 * ms, 0, s, 40 * ms},
		"a first sample of nothing":            {0, 0, 0, s, 1},
		"a peak replaces at once":              {100 * ms, 101 * ms, 0, s, 101 * ms},
		"the same again":                       {100 * ms, 100 * ms, s, s, 100 * ms},
		"one below, in the same instant":       {100 * ms, 0, 0, s, 100 * ms},
		"one below, after the decay":           {100 * ms, 0, s, s, 36787944},           // 1/e
		"one below, after half of the decay":   {100 * ms, 0, s / 2, s, 60653065},       // e^−½
		"one below, after twice the decay":     {100 * ms, 20 * ms, 2 * s, s, 30826822}, // 20 + 80/e²
		"the decay is what time is counted in": {100 * ms, 20 * ms, 20 * s, 10 * s, 30826822},
		"long ago":                             {100 * ms, 20 * ms, time.Hour, s, 20 * ms},
		"never nothing":                        {100 * ms, 0, time.Hour, s, 1},
		"a clock that went back":               {100 * ms, 20 * ms, -s, s, 100 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			if got := PeakEWMA(test.estimate, test.sample, test.since, test.decay); got != test.want {
				t.Errorf("%d, want %d", got, test.want)
			}
		})
	}
}

func TestPeakEWMAStaysBetweenSampleAndEstimate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		duration := rapid.Int64Range(1, int64(24*time.Hour))
		draw := func(label string) time.Duration { return time.Duration(duration.Draw(t, label)) }
		estimate, sample, since, decay := draw("estimate"), draw("sample"), draw("since"), draw("decay")
		got := PeakEWMA(estimate, sample, since, decay)
		if sample >= estimate && got != sample {
			t.Errorf("%d, want the sample", got)
		}
		if sample < estimate && (got < sample || got > estimate) {
			t.Errorf("%d is not between the sample and the estimate", got)
		}
		if later := PeakEWMA(estimate, sample, 2*since, decay); sample < estimate && later > got {
			t.Errorf("%d, after twice the time %d", got, later)
		}
	})
}

func TestPenalty(t *testing.T) {
	for _, test := range []struct{ estimate, want time.Duration }{
		{0, time.Second},
		{time.Millisecond, time.Second},
		{500 * time.Millisecond, time.Second},
		{501 * time.Millisecond, 1002 * time.Millisecond},
		{time.Minute, 2 * time.Minute},
		{150 * time.Second, 5 * time.Minute},
		{4 * time.Minute, 5 * time.Minute},
		{1<<63 - 1, 5 * time.Minute},
	} {
		if got := Penalty(test.estimate); got != test.want {
			t.Errorf("of %s: %s, want %s", test.estimate, got, test.want)
		}
	}
}

func TestDeviation(t *testing.T) {
	const ms = time.Millisecond
	for name, test := range map[string]struct{ deviation, estimate, sample, want time.Duration }{
		"the first sample":          {0, 0, 40 * ms, 20 * ms},
		"a first sample of nothing": {0, 0, 0, 1},
		"the same again":            {20 * ms, 40 * ms, 40 * ms, 15 * ms},
		"one above":                 {20 * ms, 40 * ms, 100 * ms, 30 * ms},
		"one below":                 {20 * ms, 40 * ms, 0, 25 * ms},
		"as far off as ever":        {20 * ms, 40 * ms, 60 * ms, 20 * ms},
		"never nothing":             {1, 40 * ms, 40 * ms, 1},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Deviation(test.deviation, test.estimate, test.sample); got != test.want {
				t.Errorf("%d, want %d", got, test.want)
			}
		})
	}
}
