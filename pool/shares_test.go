package pool

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
	"github.com/caddy-evenkeel/evenkeel/outlier"
)

// interval is the default of outlier detection.
const interval = 10 * time.Second

// untilInterval waits until an interval of that length begins.
func untilInterval(length time.Duration) {
	now := instant.Now()
	time.Sleep(length - time.Duration(now%int64(length)))
	synctest.Wait()
}

// mix has n attempts made on the i-th upstream, of which some fail: in turn, so
// that there are as few failures in a row as can be.
func (b *testPool) mix(i, n, failures int) {
	for k := range n {
		way := says(200)
		if (k+1)*failures/n > k*failures/n {
			way = says(500)
		}
		b.serve(i, 1, way)
	}
}

func TestSharesOfFailuresEject(t *testing.T) {
	const off = 0
	type load struct{ requests, failures int }
	for name, test := range map[string]struct {
		options outlier.Options
		loads   []load
		want    string
	}{
		"percentage, at the threshold": {
			outlier.Options{FailurePercentageThreshold: ptr(50.0), SuccessRateStdevFactor: ptr(0.0)},
			[]load{{100, 50}, {100, 49}, {100, 0}, {100, 0}, {100, 0}}, "essss",
		},
		"percentage, too few requests": {
			outlier.Options{FailurePercentageThreshold: ptr(50.0), SuccessRateStdevFactor: ptr(0.0)},
			[]load{{99, 99}, {100, 0}, {100, 0}, {100, 0}, {100, 0}, {100, 0}}, "ssssss",
		},
		"percentage, own volume and hosts": {
			outlier.Options{FailurePercentageThreshold: ptr(50.0), SuccessRateStdevFactor: ptr(0.0), RequestVolume: ptr(10), MinimumHosts: ptr(2)},
			[]load{{10, 10}, {10, 0}, {9, 0}}, "ess",
		},
		"percentage, too few upstreams": {
			outlier.Options{FailurePercentageThreshold: ptr(50.0)},
			[]load{{100, 100}, {100, 0}, {100, 0}, {100, 0}, {99, 0}}, "sssss",
		},
		"percentage, more than the share of ejections": {
			outlier.Options{FailurePercentageThreshold: ptr(50.0), MaxEjectionPercent: ptr(40.0), SuccessRateStdevFactor: ptr(0.0)},
			[]load{{100, 90}, {100, 90}, {100, 90}, {100, 0}, {100, 0}}, "eesss",
		},
		"percentage, by default": {
			outlier.Options{SuccessRateStdevFactor: ptr(0.0)},
			[]load{{100, 85}, {100, 84}, {100, 0}, {100, 0}, {100, 0}}, "essss",
		},
		"both off": {
			outlier.Options{FailurePercentageThreshold: ptr(0.0), SuccessRateStdevFactor: ptr(0.0)},
			[]load{{100, 100}, {100, 0}, {100, 0}, {100, 0}, {100, 0}}, "sssss",
		},
		"success rate, by default": {
			outlier.Options{},
			[]load{{100, 20}, {100, 0}, {100, 0}, {100, 0}, {100, 0}}, "essss",
		},
		"success rate, too even": {
			outlier.Options{SuccessRateStdevFactor: ptr(2.1)}, // of five, none is that far out
			[]load{{100, 20}, {100, 0}, {100, 0}, {100, 0}, {100, 0}}, "sssss",
		},
		"success rate, all alike, and their mean is more by rounding": {
			outlier.Options{SuccessRateStdevFactor: ptr(0.001)},
			[]load{{100, 2}, {100, 2}, {100, 2}, {100, 2}, {100, 2}}, "sssss",
		},
		"success rate, one has more requests": {
			outlier.Options{},
			[]load{{1000, 200}, {100, 20}, {100, 20}, {100, 20}, {100, 20}}, "sssss",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				test.options.Consecutive5xx, test.options.ConsecutiveGatewayFailures = ptr(off), ptr(off)
				b := newPool(t, only(test.options), len(test.loads))
				untilInterval(interval)
				for i, l := range test.loads {
					b.mix(i, l.requests, l.failures)
				}
				time.Sleep(interval - 1)
				b.expect(t, "within the interval", strings.Repeat("s", len(test.loads)))
				time.Sleep(time.Nanosecond)
				b.expect(t, "after the interval", test.want)
			})
		})
	}
}

func TestSharesAreThoseOfOneInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const interval = time.Minute
		b := newPool(t, only(outlier.Options{
			Consecutive5xx: ptr(0), MinimumHosts: ptr(1), RequestVolume: ptr(10), Interval: caddy.Duration(interval),
		}), 2)
		untilInterval(interval)
		b.serve(0, 9, says(500))
		time.Sleep(interval)
		b.expect(t, "nine in the first interval", "ss")
		b.serve(0, 9, says(500))
		time.Sleep(interval)
		b.expect(t, "nine in the second", "ss")
		time.Sleep(interval)
		b.serve(0, 10, says(500))
		time.Sleep(interval)
		b.expect(t, "ten in the fourth", "es")
		time.Sleep(time.Hour)
		b.serve(0, 1, says(200))
		b.expect(t, "back, and what was counted before counts no more", "ss")
		time.Sleep(interval)
		b.expect(t, "an interval later", "ss")
	})
}

// A share of failures that is just the threshold ejects, whatever the rounding.
func TestShareAtThePercentageThreshold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for percentage := 1; percentage <= 100; percentage++ {
			b := newPool(t, only(outlier.Options{
				Consecutive5xx: ptr(0), SuccessRateStdevFactor: ptr(0.0), MinimumHosts: ptr(1), MaxEjectionPercent: ptr(100.0),
				FailurePercentageThreshold: ptr(float64(percentage)),
			}), 3)
			untilInterval(interval)
			b.mix(0, 100, percentage)
			b.mix(1, 100, percentage-1)
			time.Sleep(interval)
			if got := b.phases(); got != "ess" {
				t.Errorf("%d of 100 fail, %d of 100, and none, where %d%% are too many: %s", percentage, percentage-1, percentage, got)
			}
		}
	})
}
