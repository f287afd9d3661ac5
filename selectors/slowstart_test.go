package selectors

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

// forWeighted runs a test for all policies that pick by weight, each in a bubble
// of its own.
func forWeighted(t *testing.T, test func(t *testing.T, config object)) {
	for name, policy := range policies {
		if !policy.weighted {
			continue
		}
		t.Run(name, func(t *testing.T) {
			pooltest.Isolate()
			synctest.Test(t, func(t *testing.T) { test(t, policy.config) })
		})
	}
}

// expectShare compares an upstream's share of the picks with that of the weight
// that it should have among n, the others having 1. It picks so often that chance
// stays within a tenth: that is six standard deviations.
func expectShare(t *testing.T, when string, h *reverseproxy.Handler, all []*reverseproxy.Upstream, address string, weight float64) {
	t.Helper()
	synctest.Wait()
	want := weight / (weight + float64(len(all)-1))
	times := 3600 / want
	r, n := pooltest.NewRequest(), 0.0
	for range int(times) {
		if pooltest.Pick(h, all, r) == address {
			n++
		}
	}
	got := n / times
	if math.Abs(got-want) > want/10 {
		t.Errorf("%s: %s has %.2f%%, want %.2f%%", when, address, 100*got, 100*want)
	}
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
		expectShare(t, at.Sub(began).String(), h, all(), address, weight)
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
		forWeighted(t, func(t *testing.T, config object) {
			h := pooltest.NewHandler(t, pooltest.With(config, slowly(aggression)), 4)
			pooltest.SetDown(pooltest.Dial(2))
			pooltest.SwitchOff()
			expectGrowth(t, h, static(h), pooltest.Dial(2), comesBack(t, h, pooltest.Dial(2)), aggression)
		})
	}
}

func TestSlowStartAfterAnEjection(t *testing.T) {
	forWeighted(t, func(t *testing.T, config object) {
		h, victim := pooltest.NewOnProbation(t, pooltest.With(config, slowly(1)), 4)
		pooltest.Script(victim, nil)
		pooltest.ExpectTries(t, h, "on probation", victim, 1, 1)
		expectGrowth(t, h, static(h), victim, time.Now(), 1)
	})
}

func TestSlowStartAfterADrain(t *testing.T) {
	forWeighted(t, func(t *testing.T, config object) {
		h := pooltest.NewScripted(t, pooltest.With(config, pooltest.With(slowly(1), pooltest.Reporting)), 4)
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
	forWeighted(t, func(t *testing.T, config object) {
		h := pooltest.NewHandler(t, pooltest.With(config, slowly(1)), 4)
		for _, when := range []string{"at once", "after the first probes"} {
			expectShare(t, when, h, h.Upstreams, pooltest.Dial(0), 1)
			time.Sleep(10 * time.Second)
		}
	})
}

// Nor is it for those whose first probes pass at different times.
func TestNoSlowStartAtTheStartForWhoIsChecking(t *testing.T) {
	forWeighted(t, func(t *testing.T, config object) {
		h := pooltest.NewHandler(t, pooltest.With(config, object{"slow_start": object{"window": "1s"}, "health_checks": []object{
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
	forWeighted(t, func(t *testing.T, config object) {
		config = pooltest.With(config, slowly(1))
		pooltest.NewHandler(t, config, 3)
		time.Sleep(time.Hour)
		began := time.Now()
		h := pooltest.NewHandler(t, config, 4)
		expectShare(t, "joined", h, h.Upstreams, pooltest.Dial(3), 0.1)
		time.Sleep(window / 2)
		h = pooltest.NewHandler(t, config, 4) // a reload that changes nothing
		expectGrowth(t, h, static(h), pooltest.Dial(3), began, 1)
	})
}

func TestOneThatStartsSlowlyTakesEverythingWhereItIsAlone(t *testing.T) {
	forWeighted(t, func(t *testing.T, config object) {
		h := pooltest.NewHandler(t, pooltest.With(config, slowly(1)), 3)
		pooltest.SetDown(pooltest.Dial(0))
		pooltest.SetDown(pooltest.Dial(1), pooltest.Dial(2))
		if got := pooltest.Picks(h, h.Upstreams, 100); got[pooltest.Dial(0)] != 100 {
			t.Errorf("%v", got)
		}
	})
}

func TestSlowStartOfADynamicUpstreamThatJoins(t *testing.T) {
	forWeighted(t, func(t *testing.T, config object) {
		h := pooltest.NewHandler(t, pooltest.With(config, slowly(1)), 0)
		first := pooltest.Upstreams(0, 1, 2)
		expectShare(t, "the first ones", h, first, pooltest.Dial(0), 1)
		time.Sleep(time.Minute)
		began := time.Now()
		more := pooltest.Upstreams(0, 1, 2, 3)
		expectGrowth(t, h, func() []*reverseproxy.Upstream { return more }, pooltest.Dial(3), began, 1)
		expectShare(t, "those that were there before", h, more, pooltest.Dial(1), 1)
	})
}

// One that a source returns for the first time after a reload has joined, those
// that it returned before have not.
func TestSlowStartOfADynamicUpstreamThatJoinsByAReload(t *testing.T) {
	forWeighted(t, func(t *testing.T, config object) {
		config = pooltest.With(config, slowly(1))
		h := pooltest.NewHandler(t, config, 0)
		expectShare(t, "the first ones", h, pooltest.Upstreams(0, 1, 2), pooltest.Dial(0), 1)
		h = pooltest.NewHandler(t, config, 0)
		more := pooltest.Upstreams(0, 1, 2, 3)
		expectShare(t, "joined", h, more, pooltest.Dial(3), 0.1)
		time.Sleep(window)
		expectShare(t, "after the window", h, more, pooltest.Dial(3), 1)
	})
}

// Weights that are configured count as before, each for the whole of its share.
func TestSlowStartOfWeights(t *testing.T) {
	forWeighted(t, func(t *testing.T, config object) {
		h := pooltest.NewHandler(t, pooltest.With(config, pooltest.With(slowly(1), object{"weights": object{pooltest.Dial(3): 7}})), 4)
		pooltest.SetDown(pooltest.Dial(3))
		pooltest.SwitchOff()
		began := comesBack(t, h, pooltest.Dial(3))
		time.Sleep(time.Until(began.Add(window / 2)))
		expectShare(t, "half of the window", h, h.Upstreams, pooltest.Dial(3), 3.5)
		time.Sleep(window)
		expectShare(t, "after the window", h, h.Upstreams, pooltest.Dial(3), 7)
	})
}
