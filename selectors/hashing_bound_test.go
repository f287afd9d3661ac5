package selectors

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// At no moment has any upstream more than its bound, however few keys most
// requests have; without a bound they have.
func TestBoundHoldsUnderSkewedLoad(t *testing.T) {
	forKeys(t, func(t *testing.T, config object) {
		const n, inFlight, steps = 100, 2000, 8000
		loaded(t, config, 125, n).steady(t, inFlight, steps, zipf(10_000))

		h, next := pooltest.NewHandler(t, config, n), zipf(10_000)
		got := make(map[string]int)
		most := 0
		for range inFlight {
			home := pooltest.Pick(h, h.Upstreams, next())
			got[home]++
			most = max(most, got[home])
		}
		if most < 2*inFlight/n {
			t.Errorf("without a bound none of %d has more than %d of %d", n, most, inFlight)
		}
	})
}

func TestBoundHoldsByWeight(t *testing.T) {
	for _, percent := range []int{101, 125, 200} {
		t.Run(fmt.Sprint(percent), func(t *testing.T) {
			forKeys(t, func(t *testing.T, config object) {
				const n = 10
				weights := object{}
				for i := range n {
					weights[pooltest.Dial(i)] = i + 1
				}
				l := loaded(t, pooltest.With(config, object{"weights": weights}), percent, n)
				for i := range n {
					l.weigh(pooltest.Dial(i), float64(i+1))
				}
				l.steady(t, 200, 1000, zipf(1000))
			})
		})
	}
}

// All requests have one key: it fills as many upstreams as the bound makes it.
func TestBoundOfOneKey(t *testing.T) {
	forKeys(t, func(t *testing.T, config object) {
		const n = 10
		l := loaded(t, config, 150, n)
		for range 300 {
			l.place(t, of("everybody"))
		}
		if len(l.counts) < 7 { // six have room for no more than 6 × ⌈1.5 × 300/10⌉ = 270
			t.Errorf("met %v", l.counts)
		}
		// And when all have ended, nothing is left that counts: six of ten requests have
		// upstreams of their own, as ⌈1.5 × 6/10⌉ is one.
		l.endAll()
		for n := range 6 {
			if _, has, _ := l.send(t, of("another")); has != 1 {
				t.Errorf("request %d found its upstream with %d", n, has-1)
			}
		}
	})
}

// Those that are down, full or tried already take no part, and the others' bound
// holds among themselves.
func TestBoundWithoutSome(t *testing.T) {
	forKeys(t, func(t *testing.T, config object) {
		const n = 10
		l := loaded(t, pooltest.With(config, pooltest.Checked), 125, n)
		pooltest.SetDown(pooltest.Dial(4))
		l.weigh(pooltest.Dial(4), 0)
		l.steady(t, 100, 500, zipf(1000))
		l.endAll()
		pooltest.SetDown()
		l.weigh(pooltest.Dial(4), 1)
		l.steady(t, 100, 500, zipf(1000))
		if l.counts[pooltest.Dial(4)] == 0 {
			t.Error("the one that is back has none")
		}
	})
}

// The bound gives way where those who are below it may not be picked: better above
// it than nowhere.
func TestBoundGivesWayToNecessity(t *testing.T) {
	forKeys(t, func(t *testing.T, config object) {
		l := loaded(t, config, 125, 3)
		for i := range 2 {
			l.h.Upstreams[i].MaxRequests = 1
			pooltest.SetActive(l.h.Upstreams[i], 1)
			defer pooltest.SetActive(l.h.Upstreams[i], 0)
		}
		for n := range 20 {
			if to, _, _ := l.send(t, user(n)); to != pooltest.Dial(2) {
				t.Fatalf("met %s", to)
			}
		}
	})
}

// Each level's requests are bounded among themselves.
func TestBoundOfLevels(t *testing.T) {
	forKeys(t, func(t *testing.T, config object) {
		const n = 10
		l := loaded(t, pooltest.With(config, pooltest.With(pooltest.Checked, pooltest.SecondLevel(5, n))), 125, n)
		for i := 5; i < n; i++ {
			l.weigh(pooltest.Dial(i), 0)
		}
		l.steady(t, 100, 300, zipf(1000))
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1), pooltest.Dial(2), pooltest.Dial(3), pooltest.Dial(4))
		// What is in flight on the others does not count here.
		l2 := &load{h: l.h, weight: make(map[string]float64), counts: make(map[string]int), factor: l.factor}
		for i := 5; i < n; i++ {
			l2.weigh(pooltest.Dial(i), 1)
		}
		l2.steady(t, 40, 300, zipf(1000))
	})
}

// A slow start has its bound lowered with its weight.
func TestBoundInSlowStart(t *testing.T) {
	forKeys(t, func(t *testing.T, config object) {
		l := loaded(t, pooltest.With(config, pooltest.With(pooltest.Checked, object{"slow_start": object{"window": "1h"}})), 125, 4)
		pooltest.SetDown(pooltest.Dial(2))
		pooltest.SwitchOff()
		synctest.Wait()
		pooltest.SetDown()
		l.weigh(pooltest.Dial(2), 0.1)
		for n := range 400 {
			l.place(t, user(n))
		}
		if l.counts[pooltest.Dial(2)] == 0 {
			t.Error("the one that starts has none")
		}
	})
}

// An address that is there twice is bounded as one of twice the weight.
func TestBoundOfUpstreamTwice(t *testing.T) {
	forKeys(t, func(t *testing.T, config object) {
		l := loaded(t, config, 125, 3)
		l.h = pooltest.LoadHandler(t, object{
			"load_balancing": object{"selection_policy": pooltest.With(config, object{"balance_factor": 125})},
			"transport":      object{"protocol": "scripted"},
			"upstreams":      append(pooltest.Dials(3), pooltest.Dials(1)...),
		})
		l.weigh(pooltest.Dial(0), 2)
		l.steady(t, 60, 500, zipf(1000))
	})
}

// The bound holds for dynamic upstreams, which are told by their addresses.
func TestBoundOfDynamicUpstreams(t *testing.T) {
	forKeys(t, func(t *testing.T, config object) {
		l := loaded(t, config, 125, 5)
		l.h = pooltest.NewScripted(t, pooltest.With(config, object{"balance_factor": 125}), 0)
		for i := range 5 {
			pooltest.Script(pooltest.Dial(i), open)
		}
		l.source = func() []*reverseproxy.Upstream { return pooltest.Upstreams(4, 0, 3, 1, 2) }
		for n := range 300 {
			l.place(t, user(n%7))
		}
	})
}
