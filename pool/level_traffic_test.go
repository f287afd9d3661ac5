package pool_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// As many of five die, so many percent of the traffic spill over to the next five.
func TestSpillOver(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h := pooltest.NewHandler(t, pooltest.With(policy, pooltest.With(pooltest.Checked, pooltest.SecondLevel(5, 10))), 10)
		const n = 4000
		for down, want := range []float64{0, 0, 16, 44, 72, 100} {
			var dead []string
			for i := range down {
				dead = append(dead, pooltest.Dial(i))
			}
			pooltest.SetDown(dead...)
			got := pooltest.PicksOfClients(h, n)
			if got[pooltest.None] > 0 || pooltest.Sum(got, 0, down) > 0 {
				t.Errorf("%d down: %v", down, got)
			}
			pooltest.ExpectPercent(t, strings.Repeat("x", down)+" down", pooltest.Sum(got, 5, 10), n, want)
		}
		var dead []string
		for i := range 10 {
			if i != 7 {
				dead = append(dead, pooltest.Dial(i))
			}
		}
		pooltest.SetDown(dead...)
		if got := pooltest.PicksOfClients(h, 50); got[pooltest.Dial(7)] != 50 {
			t.Errorf("only %s is left, yet %v", pooltest.Dial(7), got)
		}
	})
}

func TestOverprovisioning(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h := pooltest.NewHandler(t, pooltest.With(policy, pooltest.With(pooltest.Checked, pooltest.With(pooltest.SecondLevel(5, 10), object{"overprovisioning": 1}))), 10)
		pooltest.SetDown(pooltest.Dial(1))
		const n = 4000
		pooltest.ExpectPercent(t, "one of five is down", pooltest.Sum(pooltest.PicksOfClients(h, n), 5, 10), n, 20)
	})
}

// A request to which all of a level is lost goes to the next.
func TestRequestFailsOverToTheNextLevel(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h := pooltest.NewScripted(t, pooltest.With(policy, pooltest.SecondLevel(2, 4)), 4)
		for i := range 4 {
			pooltest.Script(pooltest.Dial(i), pooltest.Refuse)
		}
		r, got := pooltest.NewRequest(), make(map[string]int)
		for n := 1; n <= 4; n++ {
			got[pooltest.Serve(h, r)]++
			if first, second := pooltest.Sum(got, 0, 2), pooltest.Sum(got, 2, 4); first != min(n, 2) || second != n-first {
				t.Fatalf("after %d attempts: %v", n, got)
			}
		}
		if len(got) != 4 {
			t.Errorf("tried %v", got)
		}
	})
}

func TestNextLevelTakesWhatAFullOneCannot(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		const limit = 60
		h := pooltest.NewHandler(t, pooltest.With(policy, pooltest.With(pooltest.SecondLevel(2, 4), object{"default_max_requests": limit})), 4)
		for _, u := range h.Upstreams {
			defer pooltest.SetActive(u, 0)
		}
		pooltest.SetActive(h.Upstreams[0], limit)
		if got := pooltest.PicksOfClients(h, 50); got[pooltest.Dial(1)] != 50 {
			t.Errorf("%s has room, yet %v", pooltest.Dial(1), got)
		}
		pooltest.SetActive(h.Upstreams[1], limit)
		if got := pooltest.PicksOfClients(h, 50); pooltest.Sum(got, 2, 4) != 50 {
			t.Errorf("only the next level has room, yet %v", got)
		}
	})
}

// A level of which all are on probation gets the request that proves one of them.
func TestLevelOnProbationIsTried(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h := pooltest.NewScripted(t, pooltest.With(policy, pooltest.SecondLevel(1, 3)), 3)
		pooltest.FailUntil(t, h, pooltest.Dial(0), pooltest.Refuse, 5)
		pooltest.ExpectTries(t, h, "ejected", pooltest.Dial(0), 20, 0)
		time.Sleep(30 * time.Second)
		pooltest.Script(pooltest.Dial(0), nil)
		pooltest.ExpectTries(t, h, "on probation, and it succeeds", pooltest.Dial(0), 20, 20)
	})
}

func TestLevelWithoutTrafficIsNotTried(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		flat, victim := pooltest.NewEjected(t, pooltest.ByWeight, 3)
		level := object{"priorities": object{victim: 1}}
		h := pooltest.NewScripted(t, pooltest.With(policy, level), 3)
		time.Sleep(30 * time.Second)
		pooltest.ExpectTries(t, h, "on probation at a level that nobody needs", victim, 50, 0)
		pooltest.ExpectTries(t, flat, "on probation", victim, 50, 1)
	})
}

func TestFailbackDelay(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h := pooltest.NewHandler(t, pooltest.With(policy, pooltest.With(pooltest.Checked, pooltest.With(pooltest.SecondLevel(2, 4), object{"failback_delay": "1m"}))), 4)
		expect := func(when string, second float64) {
			t.Helper()
			synctest.Wait()
			const n = 200
			pooltest.ExpectPercent(t, when, pooltest.Sum(pooltest.PicksOfClients(h, n), 2, 4), n, second)
		}
		expect("at the start", 0)
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1))
		expect("the first level is down", 100)
		pooltest.SetDown()
		expect("the first level is back", 100)
		time.Sleep(40 * time.Second)
		expect("the first level is back for less than a minute", 100)
		time.Sleep(20 * time.Second)
		expect("the first level is back for more than a minute", 0)

		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1))
		pooltest.SetDown()
		pooltest.SetDown(pooltest.Dial(2), pooltest.Dial(3))
		expect("the first level is back, and the second one down", 0)
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1), pooltest.Dial(2))
		expect("only one of the second is left", 100)
	})
}

func TestFailbackDelayOutlivesAReload(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		policy = pooltest.With(policy, pooltest.With(pooltest.Checked, pooltest.With(pooltest.SecondLevel(2, 4), object{"failback_delay": "1m"})))
		pooltest.NewHandler(t, policy, 4)
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1))
		pooltest.SetDown()
		h := pooltest.NewHandler(t, policy, 4)
		if got := pooltest.PicksOfClients(h, 100); pooltest.Sum(got, 2, 4) != 100 {
			t.Errorf("the first level is not back for a minute, yet %v", got)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := pooltest.PicksOfClients(h, 100); pooltest.Sum(got, 0, 2) != 100 {
			t.Errorf("the first level is back for a minute, yet %v", got)
		}
	})
}

func TestDegradedOnesServeOnlyWhereHealthyOnesFallShort(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h := pooltest.NewHandler(t, pooltest.With(policy, pooltest.Reporting), 4)
		const n = 4000
		for i, want := range []float64{0, 30, 65, 100} {
			pooltest.Report(pooltest.Dial(i), pooltest.Degraded)
			got := pooltest.PicksOfClients(h, n)
			if got[pooltest.None] > 0 {
				t.Errorf("%v", got)
			}
			pooltest.ExpectPercent(t, "share of the degraded", pooltest.Sum(got, 0, i+1), n, want)
		}
		for i := range 3 {
			pooltest.Report(pooltest.Dial(i), healthcheck.Report{})
		}
		if got := pooltest.PicksOfClients(h, 100); got[pooltest.Dial(3)] > 0 {
			t.Errorf("%s is still degraded, yet %v", pooltest.Dial(3), got)
		}
	})
}

func TestDegradedOnesComeAfterAHealthyLevel(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h := pooltest.NewHandler(t, pooltest.With(policy, pooltest.With(pooltest.Reporting, pooltest.SecondLevel(2, 4))), 4)
		pooltest.Report(pooltest.Dial(0), pooltest.Degraded)
		pooltest.Report(pooltest.Dial(1), pooltest.Degraded)
		if got := pooltest.PicksOfClients(h, 200); pooltest.Sum(got, 2, 4) != 200 {
			t.Errorf("all of the first level is degraded, yet %v", got)
		}
	})
}
