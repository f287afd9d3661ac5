package selectors

import (
	"testing"
	"testing/synctest"
	"time"
)

// A check of one handler ends the ejection of an upstream: the others get it back at
// once, too, though none of theirs has changed.
func TestAnEjectionThatACheckEndsIsToldToAll(t *testing.T) {
	isolate()
	synctest.Test(t, func(t *testing.T) {
		quickly := []object{{"interval": "1s", "fails": 1, "passes": 1, "checker": object{"type": "switchboard"}}}
		_ = staged(t, object{"policy": "weighted_random", "health_checks": quickly}, 4)
		other := staged(t, object{"policy": "weighted_random"}, 4)
		victim := dial(0)
		failUntil(t, other, victim, refuse, 5)
		expectTries(t, other, "ejected", victim, 100, 0)
		play(victim, nil)
		setDown(victim)
		time.Sleep(3 * time.Second)
		setDown()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		before := tries(victim)
		for range 100 {
			serve(other, newRequest())
			synctest.Wait()
		}
		if got := tries(victim) - before; got < 5 {
			t.Errorf("%d attempts of 100 after the check has passed", got)
		}
	})
}

// What is new to a dynamic handler is not to a static one.
func TestFirstSightOfAnAddressStartsNobodyElsesSlowStart(t *testing.T) {
	isolate()
	synctest.Test(t, func(t *testing.T) {
		policy := object{"policy": "weighted_random", "slow_start": object{"window": "1h"}}
		both := oneConfig(t,
			object{"load_balancing": object{"selection_policy": policy}, "upstreams": dials(3)},
			object{"load_balancing": object{"selection_policy": policy}, "dynamic_upstreams": object{"source": "a", "name": "pool.test"}},
		)
		pick(both[1], upstreams(5, 6), newRequest())
		time.Sleep(2 * time.Hour)
		pick(both[1], upstreams(5, 6, 0), newRequest())
		synctest.Wait()
		expectShare(t, "the static handler's", both[0], both[0].Upstreams, dial(0), 1)
		expectShare(t, "the dynamic handler's", both[1], upstreams(5, 6, 0), dial(0), 0.1)
	})
}

// Addresses of names that clients choose are not probed when nobody asks for them,
// even where nobody asks for anything.
func TestWhatClientsAskedForIsGoneWhenNobodyAsks(t *testing.T) {
	isolate()
	synctest.Test(t, func(t *testing.T) {
		h := loadHandler(t, object{
			"load_balancing":    object{"selection_policy": countingPolicy},
			"dynamic_upstreams": object{"source": "a", "name": "{http.request.host.labels.2}.pool.test"},
		})
		if got := probed(h, 1, 2); got[dial(1)] < 5 || got[dial(2)] < 5 {
			t.Errorf("%v", got)
		}
		time.Sleep(10 * time.Minute)
		if got := probed(h); len(got) > 0 {
			t.Errorf("still probed: %v", got)
		}
		if got := probed(h, 1); got[dial(1)] < 5 || len(got) > 1 {
			t.Errorf("one of them is back: %v", got)
		}
	})
}
