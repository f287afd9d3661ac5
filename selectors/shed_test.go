package selectors

import (
	"net/http"
	"testing"
	"time"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// spares are the policies that spare an upstream which sheds load.
var spares = map[string]object{
	"peak_ewma":               {"policy": "peak_ewma"},
	"peak_ewma last_byte":     {"policy": "peak_ewma", "measure": "last_byte"},
	"managed peak_ewma":       {"policy": "managed", "inner": object{"policy": "peak_ewma"}},
	"peak_ewma inside header": inHeader(object{"policy": "peak_ewma"}),
}

// detecting are the rules of outlier detection by their defaults.
var detecting = object{"outlier_detection": object{}}

// sheds are the answers that shed load, and for how long.
var sheds = map[string]struct {
	does pooltest.Act
	for_ time.Duration
}{
	"429":                        {pooltest.Answer(http.StatusTooManyRequests), 5 * time.Second},
	"429, for some time":         {pooltest.Answer(http.StatusTooManyRequests, "Retry-After", "20"), 20 * time.Second},
	"503, for some time":         {pooltest.Answer(http.StatusServiceUnavailable, "Retry-After", "20"), 20 * time.Second},
	"503, for longer than is ok": {pooltest.Answer(http.StatusServiceUnavailable, "Retry-After", "3600"), 300 * time.Second},
}

// One that sheds load gets nothing for as long as it asks, and no ejection.
func TestLoadSheddingLowersTheShareOfLatencyAwarePolicies(t *testing.T) {
	for policy, config := range spares {
		for answers, shed := range sheds {
			t.Run(policy+"/"+answers, func(t *testing.T) {
				pooltest.Test(t, func(t *testing.T) {
					h := pooltest.NewScripted(t, pooltest.With(config, detecting), 4)
					for i := range 4 {
						pooltest.Script(pooltest.Dial(i), pooltest.Take(10*time.Millisecond))
					}
					for range 40 {
						pooltest.Serve(h, pooltest.NewRequest())
					}
					for round := 1; round <= 7; round++ { // more than would eject
						pooltest.FailUntil(t, h, pooltest.Dial(1), shed.does, pooltest.Tries(pooltest.Dial(1))+1)
						time.Sleep(shed.for_ - 6*time.Second)
						if shed.for_ > 6*time.Second {
							pooltest.ExpectTries(t, h, "it wants to be spared", pooltest.Dial(1), 20, 0)
						}
						time.Sleep(10 * time.Second)
					}
					pooltest.FailUntil(t, h, pooltest.Dial(1), pooltest.Take(10*time.Millisecond), pooltest.Tries(pooltest.Dial(1))+10)
				})
			})
		}
	}
}

// Without Retry-After a 503 is a failure like any other.
func TestServiceUnavailableEjectsInspiteOfLatency(t *testing.T) {
	for policy, config := range spares {
		t.Run(policy, func(t *testing.T) {
			pooltest.Test(t, func(t *testing.T) {
				h := pooltest.NewScripted(t, pooltest.With(config, detecting), 3)
				pooltest.FailUntil(t, h, pooltest.Dial(0), pooltest.Answer(http.StatusServiceUnavailable), 5)
				pooltest.Script(pooltest.Dial(0), nil)
				for range 4 {
					pooltest.ExpectTries(t, h, "five answers were 503", pooltest.Dial(0), 50, 0)
					time.Sleep(7 * time.Second) // longer than it would be spared
				}
			})
		})
	}
}
