package pool_test

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

const window = 100 * time.Second

// slowly are the options that let upstreams start slowly.
func slowly(aggression float64) object {
	return pooltest.With(pooltest.Checked, object{"slow_start": object{"window": window.String(), "aggression": aggression}})
}

// expectGrowth compares an upstream's share with the formula, from the given time
// until after the window.
func expectGrowth(t *testing.T, h *reverseproxy.Handler, all func() []*reverseproxy.Upstream, address string, began time.Time, aggression float64) {
	t.Helper()
	for _, percent := range []int{0, 5, 15, 30, 55, 80, 99, 100, 200} {
		at := began.Add(window * time.Duration(percent) / 100)
		if wait := time.Until(at); wait > 0 {
			time.Sleep(wait)
		}
		age := float64(time.Since(began)) / float64(window)
		weight := min(1, max(0.1, math.Pow(age, 1/aggression)))
		pooltest.ExpectShare(t, at.Sub(began).String(), h, all(), address, weight)
	}
}

// comesBack waits until the upstream gets something, and returns when that was.
func comesBack(t *testing.T, h *reverseproxy.Handler, address string) time.Time {
	t.Helper()
	for range 600 {
		synctest.Wait()
		if pooltest.Picks(h, h.Upstreams, 200)[address] > 0 {
			return time.Now()
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("%s does not come back", address)
	return time.Time{}
}

func static(h *reverseproxy.Handler) func() []*reverseproxy.Upstream {
	return func() []*reverseproxy.Upstream { return h.Upstreams }
}

func TestSlowStartOnRecovery(t *testing.T) {
	for _, aggression := range []float64{0.5, 2.5} {
		pooltest.Test(t, func(t *testing.T) {
			h := pooltest.NewHandler(t, pooltest.With(pooltest.ByWeight, slowly(aggression)), 4)
			pooltest.SetDown(pooltest.Dial(2))
			pooltest.SwitchOff()
			expectGrowth(t, h, static(h), pooltest.Dial(2), comesBack(t, h, pooltest.Dial(2)), aggression)
		})
	}
}

func TestSlowStartAfterAnEjection(t *testing.T) {
	pooltest.Test(t, func(t *testing.T) {
		h, victim := pooltest.NewOnProbation(t, pooltest.With(pooltest.ByWeight, slowly(1)), 4)
		pooltest.Script(victim, nil)
		pooltest.ExpectTries(t, h, "on probation", victim, 1, 1)
		expectGrowth(t, h, static(h), victim, time.Now(), 1)
	})
}

func TestSlowStartAfterADrain(t *testing.T) {
	pooltest.Test(t, func(t *testing.T) {
		h := pooltest.NewScripted(t, pooltest.With(pooltest.ByWeight, pooltest.With(slowly(1), pooltest.Reporting)), 4)
		pooltest.Report(pooltest.Dial(1), healthcheck.Report{Order: healthcheck.Order{Mode: healthcheck.Drain}})
		if got := pooltest.Picks(h, h.Upstreams, 400); got[pooltest.Dial(1)] > 0 || got[pooltest.None] > 0 {
			t.Errorf("%s is drained, yet %v", pooltest.Dial(1), got)
		}
		pooltest.SetReport(pooltest.Dial(1), healthcheck.Report{Order: healthcheck.Order{Mode: healthcheck.Ready}})
		expectGrowth(t, h, static(h), pooltest.Dial(1), comesBack(t, h, pooltest.Dial(1)), 1)
	})
}

// At the start of the process all are cold.
func TestNoSlowStartAtTheStart(t *testing.T) {
	pooltest.Test(t, func(t *testing.T) {
		h := pooltest.NewHandler(t, pooltest.With(pooltest.ByWeight, slowly(1)), 4)
		for _, when := range []string{"at once", "after the first probes"} {
			pooltest.ExpectShare(t, when, h, h.Upstreams, pooltest.Dial(0), 1)
			time.Sleep(10 * time.Second)
		}
	})
}

// Nor is it for those whose first probes pass at different times.
func TestNoSlowStartAtTheStartWhileChecking(t *testing.T) {
	pooltest.Test(t, func(t *testing.T) {
		h := pooltest.NewHandler(t, pooltest.With(pooltest.ByWeight, object{"slow_start": object{"window": "1s"}, "health_checks": []object{
			{"interval": "1m", "initial": "checking", "checker": object{"type": "switched"}},
		}}), 4)
		passed := 0
		for passed < 4 {
			time.Sleep(20 * time.Millisecond)
			synctest.Wait()
			got := pooltest.Picks(h, h.Upstreams, 2000)
			delete(got, pooltest.None)
			for address, n := range got {
				if n*len(got) < 1500 {
					t.Fatalf("%s has just passed, and %v", address, got)
				}
			}
			passed = len(got)
		}
	})
}

func TestSlowStartOfOneThatJoinsByAReload(t *testing.T) {
	pooltest.Test(t, func(t *testing.T) {
		config := pooltest.With(pooltest.ByWeight, slowly(1))
		pooltest.NewHandler(t, config, 3)
		time.Sleep(time.Hour)
		began := time.Now()
		h := pooltest.NewHandler(t, config, 4)
		pooltest.ExpectShare(t, "joined", h, h.Upstreams, pooltest.Dial(3), 0.1)
		time.Sleep(window / 2)
		h = pooltest.NewHandler(t, config, 4) // a reload that changes nothing
		expectGrowth(t, h, static(h), pooltest.Dial(3), began, 1)
	})
}

func TestOneThatStartsSlowlyTakesEverythingWhereItIsAlone(t *testing.T) {
	pooltest.Test(t, func(t *testing.T) {
		h := pooltest.NewHandler(t, pooltest.With(pooltest.ByWeight, slowly(1)), 3)
		pooltest.SetDown(pooltest.Dial(0))
		pooltest.SetDown(pooltest.Dial(1), pooltest.Dial(2))
		if got := pooltest.Picks(h, h.Upstreams, 100); got[pooltest.Dial(0)] != 100 {
			t.Errorf("%v", got)
		}
	})
}

func TestSlowStartOfADynamicUpstreamThatJoins(t *testing.T) {
	pooltest.Test(t, func(t *testing.T) {
		h := pooltest.NewHandler(t, pooltest.With(pooltest.ByWeight, slowly(1)), 0)
		first := pooltest.Upstreams(0, 1, 2)
		pooltest.ExpectShare(t, "the first ones", h, first, pooltest.Dial(0), 1)
		time.Sleep(time.Minute)
		began := time.Now()
		more := pooltest.Upstreams(0, 1, 2, 3)
		expectGrowth(t, h, func() []*reverseproxy.Upstream { return more }, pooltest.Dial(3), began, 1)
		pooltest.ExpectShare(t, "those that were there before", h, more, pooltest.Dial(1), 1)
	})
}

// One that a source returns for the first time after a reload has joined, those
// that it returned before have not.
func TestSlowStartOfADynamicUpstreamThatJoinsByAReload(t *testing.T) {
	pooltest.Test(t, func(t *testing.T) {
		config := pooltest.With(pooltest.ByWeight, slowly(1))
		h := pooltest.NewHandler(t, config, 0)
		pooltest.ExpectShare(t, "the first ones", h, pooltest.Upstreams(0, 1, 2), pooltest.Dial(0), 1)
		h = pooltest.NewHandler(t, config, 0)
		more := pooltest.Upstreams(0, 1, 2, 3)
		pooltest.ExpectShare(t, "joined", h, more, pooltest.Dial(3), 0.1)
		time.Sleep(window)
		pooltest.ExpectShare(t, "after the window", h, more, pooltest.Dial(3), 1)
	})
}

// Weights that are configured count as before, each for the whole of its share.
func TestSlowStartOfWeights(t *testing.T) {
	pooltest.Test(t, func(t *testing.T) {
		h := pooltest.NewHandler(t, pooltest.With(pooltest.ByWeight, pooltest.With(slowly(1), object{"weights": object{pooltest.Dial(3): 7}})), 4)
		pooltest.SetDown(pooltest.Dial(3))
		pooltest.SwitchOff()
		began := comesBack(t, h, pooltest.Dial(3))
		time.Sleep(time.Until(began.Add(window / 2)))
		pooltest.ExpectShare(t, "half of the window", h, h.Upstreams, pooltest.Dial(3), 3.5)
		time.Sleep(window)
		pooltest.ExpectShare(t, "after the window", h, h.Upstreams, pooltest.Dial(3), 7)
	})
}
