package pool_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// A check of one handler ends the ejection of an upstream: the others get it back at
// once, too, though none of theirs has changed.
func TestAnEjectionThatACheckEndsIsToldToAll(t *testing.T) {
	pooltest.Test(t, func(t *testing.T) {
		quickly := []object{{"interval": "1s", "fails": 1, "passes": 1, "checker": object{"type": "switched"}}}
		_ = pooltest.NewScripted(t, object{"policy": "by_weight", "health_checks": quickly}, 4)
		other := pooltest.NewScripted(t, pooltest.ByWeight, 4)
		victim := pooltest.Dial(0)
		pooltest.FailUntil(t, other, victim, pooltest.Refuse, 5)
		pooltest.ExpectTries(t, other, "ejected", victim, 100, 0)
		pooltest.Script(victim, nil)
		pooltest.SetDown(victim)
		time.Sleep(3 * time.Second)
		pooltest.SetDown()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		before := pooltest.Tries(victim)
		for range 100 {
			pooltest.Serve(other, pooltest.NewRequest())
			synctest.Wait()
		}
		if got := pooltest.Tries(victim) - before; got < 5 {
			t.Errorf("%d attempts of 100 after the check has passed", got)
		}
	})
}

// What is new to a dynamic handler is not to a static one.
func TestFirstSightOfAnAddressStartsNoSlowStartElsewhere(t *testing.T) {
	pooltest.Test(t, func(t *testing.T) {
		policy := object{"policy": "by_weight", "slow_start": object{"window": "1h"}}
		both := pooltest.LoadHandlers(t,
			object{"load_balancing": object{"selection_policy": policy}, "upstreams": pooltest.Dials(3)},
			object{"load_balancing": object{"selection_policy": policy}, "dynamic_upstreams": object{"source": "a", "name": "pool.test"}},
		)
		pooltest.Pick(both[1], pooltest.Upstreams(5, 6), pooltest.NewRequest())
		time.Sleep(2 * time.Hour)
		pooltest.Pick(both[1], pooltest.Upstreams(5, 6, 0), pooltest.NewRequest())
		synctest.Wait()
		pooltest.ExpectShare(t, "the static handler's", both[0], both[0].Upstreams, pooltest.Dial(0), 1)
		pooltest.ExpectShare(t, "the dynamic handler's", both[1], pooltest.Upstreams(5, 6, 0), pooltest.Dial(0), 0.1)
	})
}
