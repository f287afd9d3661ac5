package pool_test

import (
	"testing"
	"time"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// Below the threshold all may be picked, and their levels do not count; at it,
// only those that are healthy.
func TestBelowThePanicThresholdVerdictsAreIgnored(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h := pooltest.NewHandler(t, pooltest.With(policy, pooltest.With(pooltest.Checked, pooltest.With(pooltest.SecondLevel(3, 4), object{"panic_threshold": 50}))), 4)
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1))
		if got := pooltest.PicksOfClients(h, 200); got[pooltest.Dial(0)]+got[pooltest.Dial(1)]+got[pooltest.None] > 0 {
			t.Errorf("half are up, yet %v", got)
		}
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1), pooltest.Dial(2))
		got := pooltest.PicksOfClients(h, 400)
		if got[pooltest.Dial(3)] == 400 || got[pooltest.None] > 0 {
			t.Errorf("a quarter is up, yet %v", got)
		}
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(2))
		if got := pooltest.PicksOfClients(h, 200); got[pooltest.Dial(0)]+got[pooltest.Dial(2)]+got[pooltest.None] > 0 {
			t.Errorf("half are up again, yet %v", got)
		}
	})
}

func TestBelowThePanicThresholdEjectionsAreIgnored(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h, victim := pooltest.NewEjected(t, pooltest.With(policy, pooltest.With(pooltest.Checked, object{"panic_threshold": 60})), 2)
		pooltest.Script(victim, nil)
		pooltest.FailUntil(t, h, victim, nil, pooltest.Tries(victim)+5)
	})
}

// Drains, weights of 0 and checks that have not had their say hold in a panic.
func TestPanicLeavesOutWhatIsNotToBePicked(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h := pooltest.NewScripted(t, pooltest.With(policy, object{
			"weights": object{pooltest.Dial(1): 0},
			"health_checks": []object{
				{"interval": "1s", "checker": object{"type": "switched"}},
				{"interval": "1s", "checker": object{"type": "reporting"}},
			},
		}), 4)
		pooltest.Report(pooltest.Dial(2), healthcheck.Report{Order: healthcheck.Order{Mode: healthcheck.Drain}})
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1), pooltest.Dial(2), pooltest.Dial(3))
		if got := pooltest.PicksOfClients(h, 200); got[pooltest.Dial(1)]+got[pooltest.Dial(2)]+got[pooltest.None] > 0 {
			t.Errorf("%s has weight 0, %s is drained, yet %v", pooltest.Dial(1), pooltest.Dial(2), got)
		}
		for _, i := range []int{0, 3} {
			pooltest.SetReport(pooltest.Dial(i), healthcheck.Report{Order: healthcheck.Order{Mode: healthcheck.Maint}})
		}
		time.Sleep(10 * time.Second)
		if got := pooltest.PicksOfClients(h, 20); got[pooltest.None] != 20 {
			t.Errorf("nobody wants any, yet %v", got)
		}
	})
}
