package selectors

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
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
	does act
	for_ time.Duration
}{
	"429":                        {answer(http.StatusTooManyRequests), 5 * time.Second},
	"429, for some time":         {answer(http.StatusTooManyRequests, "Retry-After", "20"), 20 * time.Second},
	"503, for some time":         {answer(http.StatusServiceUnavailable, "Retry-After", "20"), 20 * time.Second},
	"503, for longer than is ok": {answer(http.StatusServiceUnavailable, "Retry-After", "3600"), 300 * time.Second},
}

// One that sheds load gets nothing for as long as it asks, and no ejection.
func TestLoadSheddingLowersTheShareOfLatencyAwarePolicies(t *testing.T) {
	for policy, config := range spares {
		for answers, shed := range sheds {
			t.Run(policy+"/"+answers, func(t *testing.T) {
				isolate()
				synctest.Test(t, func(t *testing.T) {
					h := staged(t, with(config, detecting), 4)
					for i := range 4 {
						play(dial(i), take(10*time.Millisecond))
					}
					for range 40 {
						serve(h, newRequest())
					}
					for round := 1; round <= 7; round++ { // more than would eject
						failUntil(t, h, dial(1), shed.does, tries(dial(1))+1)
						time.Sleep(shed.for_ - 6*time.Second)
						if shed.for_ > 6*time.Second {
							expectTries(t, h, "it wants to be spared", dial(1), 20, 0)
						}
						time.Sleep(10 * time.Second)
					}
					failUntil(t, h, dial(1), take(10*time.Millisecond), tries(dial(1))+10)
				})
			})
		}
	}
}

// Without Retry-After a 503 is a failure like any other.
func TestServiceUnavailableEjectsInspiteOfLatency(t *testing.T) {
	for policy, config := range spares {
		t.Run(policy, func(t *testing.T) {
			isolate()
			synctest.Test(t, func(t *testing.T) {
				h := staged(t, with(config, detecting), 3)
				failUntil(t, h, dial(0), answer(http.StatusServiceUnavailable), 5)
				play(dial(0), nil)
				for range 4 {
					expectTries(t, h, "five answers were 503", dial(0), 50, 0)
					time.Sleep(7 * time.Second) // longer than it would be spared
				}
			})
		})
	}
}

// Policies that know of no latency have no other way than to eject, and have none
// for a 429.
func TestLoadSheddingForOtherPolicies(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		if strings.Contains(t.Name(), "peak_ewma") {
			t.Skip("heeds latencies")
		}
		h := staged(t, with(config, detecting), 3)
		victim := choice(h)
		failUntil(t, h, victim, answer(http.StatusTooManyRequests, "Retry-After", "60"), 30)
		failUntil(t, h, victim, answer(http.StatusServiceUnavailable, "Retry-After", "1"), 35)
		expectTries(t, h, "five answers were 503", victim, 50, 0)
	})
}
