package pool_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

func TestBackupsServeOnlyWhereNoOtherIsLeft(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h := pooltest.NewHandler(t, pooltest.With(policy, pooltest.With(pooltest.Checked, pooltest.Backups(2, 4))), 4)
		pooltest.ExpectAll(t, "all are up", h, 0, 2)
		pooltest.SetDown(pooltest.Dial(0))
		pooltest.ExpectAll(t, "one of two is down", h, 1, 2)
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1))
		pooltest.ExpectAll(t, "both are down", h, 2, 4)
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1), pooltest.Dial(2))
		pooltest.ExpectAll(t, "one backup is left", h, 3, 4)
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(2), pooltest.Dial(3))
		pooltest.ExpectAll(t, "one is back", h, 1, 2)
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1), pooltest.Dial(2), pooltest.Dial(3))
		pooltest.ExpectAll(t, "nobody is left: verdicts do not count", h, 0, 2)
	})
}

func TestBackupsAreAfterAllLevels(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		levels := object{"priorities": object{pooltest.Dial(1): 2}}
		h := pooltest.NewHandler(t, pooltest.With(policy, pooltest.With(pooltest.Checked, pooltest.With(levels, pooltest.Backups(2, 4)))), 4)
		pooltest.SetDown(pooltest.Dial(0))
		pooltest.ExpectAll(t, "the first level is down", h, 1, 2)
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1))
		pooltest.ExpectAll(t, "both levels are down", h, 2, 4)
	})
}

func TestBackupsComeAfterDegradedOnes(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h := pooltest.NewHandler(t, pooltest.With(policy, pooltest.With(pooltest.Reporting, pooltest.Backups(2, 4))), 4)
		pooltest.Report(pooltest.Dial(0), pooltest.Degraded)
		pooltest.Report(pooltest.Dial(1), pooltest.Degraded)
		pooltest.Report(pooltest.Dial(2), pooltest.Degraded)
		pooltest.ExpectAll(t, "all are degraded", h, 0, 2)
	})
}

func TestDrainedOnesLeaveTrafficToBackups(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h := pooltest.NewHandler(t, pooltest.With(policy, pooltest.With(pooltest.Backups(1, 2), object{"weights": object{pooltest.Dial(0): 0}})), 2)
		pooltest.ExpectAll(t, "weight 0", h, 1, 2)
	})
	forBoth(t, func(t *testing.T, policy object) {
		h := pooltest.NewHandler(t, pooltest.With(policy, pooltest.With(pooltest.Reporting, pooltest.Backups(1, 2))), 2)
		pooltest.Report(pooltest.Dial(0), healthcheck.Report{Order: healthcheck.Order{Mode: healthcheck.Drain}})
		pooltest.ExpectAll(t, "drained", h, 1, 2)
	})
}

// A request that has tried all others goes to a backup.
func TestRequestFailsOverToBackups(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h := pooltest.NewScripted(t, pooltest.With(policy, pooltest.Backups(2, 3)), 3)
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
	forBoth(t, func(t *testing.T, policy object) {
		h := pooltest.NewHandler(t, pooltest.With(policy, pooltest.Backups(1, 2)), 2)
		h.Upstreams[0].MaxRequests = 1
		defer pooltest.SetActive(h.Upstreams[0], 0)
		pooltest.SetActive(h.Upstreams[0], 1)
		pooltest.ExpectAll(t, "full", h, 1, 2)
	})
}

func TestFailbackDelayHoldsForBackups(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h := pooltest.NewHandler(t, pooltest.With(policy, pooltest.With(pooltest.Checked, pooltest.With(pooltest.Backups(2, 4), object{"failback_delay": "1m"}))), 4)
		pooltest.ExpectAll(t, "at the start", h, 0, 2)
		pooltest.SetDown(pooltest.Dial(0))
		pooltest.SetDown()
		pooltest.ExpectAll(t, "one was down", h, 0, 2)
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1))
		pooltest.ExpectAll(t, "both are down", h, 2, 4)
		pooltest.SetDown(pooltest.Dial(0))
		time.Sleep(40 * time.Second)
		pooltest.ExpectAll(t, "one is back for less than a minute", h, 2, 4)
		pooltest.SetDown()
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if got := pooltest.PicksOfClients(h, 200); pooltest.Sum(got, 0, 2) != 200 {
			t.Errorf("one is back for more than a minute: %v", got)
		}

		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1))
		pooltest.SetDown()
		pooltest.SetDown(pooltest.Dial(2), pooltest.Dial(3))
		pooltest.ExpectAll(t, "both are back, and no backup is left", h, 0, 2)
		pooltest.SetDown()
		pooltest.ExpectAll(t, "backups are back, but nobody needs them", h, 0, 2)
	})
}

// A backup that passes its first probe before the others do is no reason for a
// delay.
func TestFailbackDelayIsForLevelsThatWereDown(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		check := object{"interval": "1m", "initial": "checking", "checker": object{"type": "switched"}}
		options := pooltest.With(pooltest.Backups(1, 2), object{"failback_delay": "1h", "health_checks": []object{check}})
		h := pooltest.NewHandler(t, pooltest.With(policy, options), 2)
		time.Sleep(10 * time.Second)
		pooltest.ExpectAll(t, "both have passed", h, 0, 1)
	})
}

func TestPanicThresholdCountsBackupsApart(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h := pooltest.NewHandler(t, pooltest.With(policy, pooltest.With(pooltest.Checked, pooltest.With(pooltest.Backups(4, 8), object{"panic_threshold": 50}))), 8)
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1), pooltest.Dial(2))
		pooltest.ExpectAll(t, "one of four is up", h, 0, 4)
		if got := pooltest.PicksOfClients(h, 200); got[pooltest.Dial(3)] == 200 {
			t.Error("there should be a panic")
		}
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1), pooltest.Dial(2), pooltest.Dial(3), pooltest.Dial(4))
		pooltest.ExpectAll(t, "no other is up", h, 5, 8)
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1), pooltest.Dial(2), pooltest.Dial(3), pooltest.Dial(4), pooltest.Dial(5), pooltest.Dial(6))
		pooltest.ExpectAll(t, "no other is up, and few backups", h, 4, 8)
		if got := pooltest.PicksOfClients(h, 200); got[pooltest.Dial(7)] == 200 {
			t.Error("there should be a panic")
		}
	})
}
