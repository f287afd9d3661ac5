package selectors

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// standby is the option that makes the upstreams from the first number to before
// the last backups.
func standby(from, to int) object {
	var names []string
	for i := from; i < to; i++ {
		names = append(names, pooltest.Dial(i))
	}
	return object{"backups": names}
}

// expectAll expects that all requests go to the upstreams from the first number to
// before the last.
func expectAll(t *testing.T, when string, h *reverseproxy.Handler, from, to int) {
	t.Helper()
	synctest.Wait()
	if got := pooltest.PicksOfClients(h, 200); pooltest.Sum(got, from, to) != 200 {
		t.Errorf("%s: %v, want %d to %d only", when, got, from, to-1)
	}
}

func TestBackupsServeOnlyWhereNobodyElseIsLeft(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := pooltest.NewHandler(t, pooltest.With(config, pooltest.With(pooltest.Checked, standby(2, 4))), 4)
		expectAll(t, "all are up", h, 0, 2)
		pooltest.SetDown(pooltest.Dial(0))
		expectAll(t, "one of two is down", h, 1, 2)
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1))
		expectAll(t, "both are down", h, 2, 4)
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1), pooltest.Dial(2))
		expectAll(t, "one backup is left", h, 3, 4)
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(2), pooltest.Dial(3))
		expectAll(t, "one is back", h, 1, 2)
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1), pooltest.Dial(2), pooltest.Dial(3))
		expectAll(t, "nobody is left: verdicts do not count", h, 0, 2)
	})
}

func TestBackupsAreAfterAllLevels(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		levels := object{"priorities": object{pooltest.Dial(1): 2}}
		h := pooltest.NewHandler(t, pooltest.With(config, pooltest.With(pooltest.Checked, pooltest.With(levels, standby(2, 4)))), 4)
		pooltest.SetDown(pooltest.Dial(0))
		expectAll(t, "the first level is down", h, 1, 2)
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1))
		expectAll(t, "both levels are down", h, 2, 4)
	})
}

func TestBackupsComeAfterDegradedOnes(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := pooltest.NewHandler(t, pooltest.With(config, pooltest.With(pooltest.Reporting, standby(2, 4))), 4)
		pooltest.Report(pooltest.Dial(0), degraded)
		pooltest.Report(pooltest.Dial(1), degraded)
		pooltest.Report(pooltest.Dial(2), degraded)
		expectAll(t, "all are degraded", h, 0, 2)
	})
}

func TestDrainedOnesLeaveTrafficToBackups(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := pooltest.NewHandler(t, pooltest.With(config, pooltest.With(standby(1, 2), object{"weights": object{pooltest.Dial(0): 0}})), 2)
		expectAll(t, "weight 0", h, 1, 2)
	})
	forAll(t, func(t *testing.T, config object) {
		h := pooltest.NewHandler(t, pooltest.With(config, pooltest.With(pooltest.Reporting, standby(1, 2))), 2)
		pooltest.Report(pooltest.Dial(0), healthcheck.Report{Order: healthcheck.Order{Mode: healthcheck.Drain}})
		expectAll(t, "drained", h, 1, 2)
	})
}

// A request that has tried all others goes to a backup.
func TestRequestFailsOverToBackups(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := pooltest.NewScripted(t, pooltest.With(config, standby(2, 3)), 3)
		pooltest.Script(pooltest.Dial(0), pooltest.Refuse)
		pooltest.Script(pooltest.Dial(1), pooltest.Refuse)
		r, got := pooltest.NewRequest(), make(map[string]int)
		for n := 1; n <= 3; n++ {
			got[pooltest.Serve(h, r)]++
			if pooltest.Sum(got, 0, 2) != min(n, 2) {
				t.Fatalf("after %d attempts: %v", n, got)
			}
		}
		if got[pooltest.Dial(2)] != 1 {
			t.Errorf("tried %v", got)
		}
	})
}

func TestBackupsTakeWhatFullOnesCannot(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := pooltest.NewHandler(t, pooltest.With(config, standby(1, 2)), 2)
		h.Upstreams[0].MaxRequests = 1
		defer pooltest.SetActive(h.Upstreams[0], 0)
		pooltest.SetActive(h.Upstreams[0], 1)
		expectAll(t, "full", h, 1, 2)
	})
}

func TestFailbackDelayHoldsForBackups(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := pooltest.NewHandler(t, pooltest.With(config, pooltest.With(pooltest.Checked, pooltest.With(standby(2, 4), object{"failback_delay": "1m"}))), 4)
		expectAll(t, "at the start", h, 0, 2)
		pooltest.SetDown(pooltest.Dial(0))
		pooltest.SetDown()
		expectAll(t, "one was down", h, 0, 2)
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1))
		expectAll(t, "both are down", h, 2, 4)
		pooltest.SetDown(pooltest.Dial(0))
		time.Sleep(40 * time.Second)
		expectAll(t, "one is back for less than a minute", h, 2, 4)
		pooltest.SetDown()
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if got := pooltest.PicksOfClients(h, 200); pooltest.Sum(got, 0, 2) != 200 {
			t.Errorf("one is back for more than a minute: %v", got)
		}

		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1))
		pooltest.SetDown()
		pooltest.SetDown(pooltest.Dial(2), pooltest.Dial(3))
		expectAll(t, "both are back, and no backup is left", h, 0, 2)
		pooltest.SetDown()
		expectAll(t, "backups are back, but nobody needs them", h, 0, 2)
	})
}

// A backup that passes its first probe before the others do is no reason for a
// delay.
func TestFailbackDelayIsForWhoWasDown(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		check := object{"interval": "1m", "initial": "checking", "checker": object{"type": "switched"}}
		options := pooltest.With(standby(1, 2), object{"failback_delay": "1h", "health_checks": []object{check}})
		h := pooltest.NewHandler(t, pooltest.With(config, options), 2)
		time.Sleep(10 * time.Second)
		expectAll(t, "both have passed", h, 0, 1)
	})
}

func TestPanicThresholdCountsBackupsApart(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := pooltest.NewHandler(t, pooltest.With(config, pooltest.With(pooltest.Checked, pooltest.With(standby(4, 8), object{"panic_threshold": 50}))), 8)
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1), pooltest.Dial(2))
		expectAll(t, "one of four is up", h, 0, 4)
		if got := pooltest.PicksOfClients(h, 200); got[pooltest.Dial(3)] == 200 {
			t.Error("there should be a panic")
		}
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1), pooltest.Dial(2), pooltest.Dial(3), pooltest.Dial(4))
		expectAll(t, "no other is up", h, 5, 8)
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1), pooltest.Dial(2), pooltest.Dial(3), pooltest.Dial(4), pooltest.Dial(5), pooltest.Dial(6))
		expectAll(t, "no other is up, and few backups", h, 4, 8)
		if got := pooltest.PicksOfClients(h, 200); got[pooltest.Dial(7)] == 200 {
			t.Error("there should be a panic")
		}
	})
}
