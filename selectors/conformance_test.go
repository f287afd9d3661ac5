package selectors

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

func TestEmptyPoolGivesNothing(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := newHandler(t, config, 0)
		if got := pick(h, nil, newRequest()); got != none {
			t.Errorf("picked %s of an empty pool", got)
		}
	})
}

func TestOneUpstreamTakesAll(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := newHandler(t, with(config, checked), 1)
		if got := picks(h, h.Upstreams, 20); got[dial(0)] != 20 {
			t.Errorf("got %v", got)
		}
	})
}

func TestDownUpstreamGetsNothing(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := newHandler(t, with(config, checked), 4)
		for _, gone := range []string{dial(2), dial(0), dial(3)} {
			setDown(gone)
			if got := picks(h, h.Upstreams, 200); got[gone] > 0 || got[none] > 0 {
				t.Errorf("%s is down, yet %v", gone, got)
			}
		}
		setDown(dial(0), dial(1), dial(3))
		if got := picks(h, h.Upstreams, 50); got[dial(2)] != 50 {
			t.Errorf("only %s is up, yet %v", dial(2), got)
		}
	})
}

func TestReturningUpstreamGetsItsShareAgain(t *testing.T) {
	for name, policy := range policies {
		if !policy.even {
			continue
		}
		t.Run(name, func(t *testing.T) {
			isolate()
			synctest.Test(t, func(t *testing.T) {
				h := newHandler(t, with(policy.config, checked), 4)
				setDown(dial(1))
				setDown()
				got := picks(h, h.Upstreams, 4000)
				for i := range 4 {
					if n := got[dial(i)]; n < 800 || n > 1200 {
						t.Errorf("%s got %d of 4000: %v", dial(i), n, got)
					}
				}
			})
		})
	}
}

func TestAllDownMeansPanic(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := newHandler(t, with(config, checked), 3)
		setDown(dial(0), dial(1), dial(2))
		if got := picks(h, h.Upstreams, 60); got[none] > 0 {
			t.Errorf("all are down, and so all may be picked, yet %v", got)
		}
	})
}

func TestAllDownWithPanicThresholdZero(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := newHandler(t, with(config, with(checked, object{"panic_threshold": 0})), 3)
		setDown(dial(0), dial(1), dial(2))
		if got := picks(h, h.Upstreams, 20); got[none] != 20 {
			t.Errorf("all are down and verdicts hold, yet %v", got)
		}
		setDown(dial(0), dial(1))
		if got := picks(h, h.Upstreams, 20); got[dial(2)] != 20 {
			t.Errorf("%s is back, yet %v", dial(2), got)
		}
	})
}

func TestInitialCheckingGetsNothingBeforeItPasses(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		setDown(dial(0))
		h := newHandler(t, with(config, object{"health_checks": []object{
			{"interval": "1s", "initial": "checking", "checker": object{"type": "switchboard"}},
		}}), 2)
		if got := pick(h, h.Upstreams, newRequest()); got != none {
			t.Errorf("nothing was probed yet, and still %s was picked", got)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := picks(h, h.Upstreams, 20); got[dial(1)] != 20 {
			t.Errorf("only %s has passed, yet %v", dial(1), got)
		}
	})
}

func TestWeightZeroGetsNothing(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := newHandler(t, with(config, object{"weights": object{dial(1): 0}}), 3)
		if got := picks(h, h.Upstreams, 100); got[dial(1)] > 0 || got[none] > 0 {
			t.Errorf("got %v", got)
		}
	})
}

func TestWeightedShares(t *testing.T) {
	for name, policy := range policies {
		if !policy.weighted {
			continue
		}
		t.Run(name, func(t *testing.T) {
			isolate()
			synctest.Test(t, func(t *testing.T) {
				h := newHandler(t, with(policy.config, with(checked, object{
					"weights": object{dial(0): 5, host(2): 3, host(3) + "/32": 0},
				})), 5)
				expect := func(n int, weights map[string]int) {
					t.Helper()
					total := 0
					for _, w := range weights {
						total += w
					}
					got := picks(h, h.Upstreams, n)
					for address, w := range weights {
						want := float64(n) * float64(w) / float64(total)
						if math.Abs(float64(got[address])-want) > 5*math.Sqrt(want)+1 {
							t.Errorf("%s got %d, want about %.0f: %v", address, got[address], want, got)
						}
					}
				}
				expect(10_000, map[string]int{dial(0): 5, dial(1): 1, dial(2): 3, dial(3): 0, dial(4): 1})
				setDown(dial(0)) // the rest share in proportion, Caddy's own does not
				expect(10_000, map[string]int{dial(0): 0, dial(1): 1, dial(2): 3, dial(3): 0, dial(4): 1})
			})
		})
	}
}

func TestFullUpstreamGetsNothing(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		const limit = 60
		h := newHandler(t, with(config, object{"default_max_requests": limit}), 40)
		for _, u := range h.Upstreams {
			busy(u, limit)
		}
		if got := picks(h, h.Upstreams, 5); got[none] != 5 {
			t.Errorf("all are full, yet %v", got)
		}
		busy(h.Upstreams[17], 10)
		if got := picks(h, h.Upstreams, 50); got[dial(17)] != 50 {
			t.Errorf("only %s has room, yet %v", dial(17), got)
		}
		for _, u := range h.Upstreams {
			busy(u, 0) // other tests share the hosts
		}
	})
}

func TestConcurrentPicksWhileVerdictsFlip(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := newHandler(t, with(config, checked), 5)
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if pick(h, h.Upstreams, newRequest()) == none {
						t.Error("nothing picked")
						return
					}
					time.Sleep(20 * time.Millisecond) // lets the bubble's clock go on
				}
			})
		}
		for i := range 5 {
			setDown(dial(i), dial((i+1)%5))
		}
		close(stop)
		wg.Wait()
	})
}

func TestUpstreamsInAnyOrderAndNumber(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := newHandler(t, with(config, checked), 0)
		a := upstreams(0, 1, 2)
		if got := picks(h, a, 30); got[none] > 0 {
			t.Errorf("got %v", got)
		}
		setDown(dial(1))
		slices.Reverse(a)
		if got := picks(h, a, 30); got[dial(1)] > 0 || got[none] > 0 {
			t.Errorf("%s is down, yet %v", dial(1), got)
		}
		if got := picks(h, upstreams(1, 4), 30); got[dial(4)] != 30 {
			t.Errorf("%s is down in another set, too, yet %v", dial(1), got)
		}
		if got := picks(h, upstreams(4, 4), 5); got[dial(4)] != 5 {
			t.Errorf("got %v", got)
		}
	})
}

func TestPolicyOutsideReverseProxyPicks(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
		defer cancel()
		config = with(config, nil)
		name := config["policy"].(string)
		delete(config, "policy")
		raw, err := json.Marshal(config)
		if err != nil {
			t.Fatal(err)
		}
		mod, err := ctx.LoadModuleByID(namespace+"."+name, raw)
		if err != nil {
			t.Fatal(err)
		}
		h := &reverseproxy.Handler{LoadBalancing: &reverseproxy.LoadBalancing{SelectionPolicy: mod.(reverseproxy.Selector)}}
		if got := picks(h, upstreams(1, 2, 3), 60); got[none] > 0 {
			t.Errorf("%v", got)
		}
	})
}
