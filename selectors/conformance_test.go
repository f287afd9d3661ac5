package selectors

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

func TestEmptyPoolGivesNothing(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := pooltest.NewHandler(t, config, 0)
		if got := pooltest.Pick(h, nil, pooltest.NewRequest()); got != pooltest.None {
			t.Errorf("picked %s of an empty pool", got)
		}
	})
}

func TestOneUpstreamTakesAll(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := pooltest.NewHandler(t, pooltest.With(config, pooltest.Checked), 1)
		if got := pooltest.Picks(h, h.Upstreams, 20); got[pooltest.Dial(0)] != 20 {
			t.Errorf("got %v", got)
		}
	})
}

func TestDownUpstreamGetsNothing(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := pooltest.NewHandler(t, pooltest.With(config, pooltest.Checked), 4)
		for _, gone := range []string{pooltest.Dial(2), pooltest.Dial(0), pooltest.Dial(3)} {
			pooltest.SetDown(gone)
			if got := pooltest.Picks(h, h.Upstreams, 200); got[gone] > 0 || got[pooltest.None] > 0 {
				t.Errorf("%s is down, yet %v", gone, got)
			}
		}
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1), pooltest.Dial(3))
		if got := pooltest.Picks(h, h.Upstreams, 50); got[pooltest.Dial(2)] != 50 {
			t.Errorf("only %s is up, yet %v", pooltest.Dial(2), got)
		}
	})
}

func TestAllDownMeansPanic(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := pooltest.NewHandler(t, pooltest.With(config, pooltest.Checked), 3)
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1), pooltest.Dial(2))
		if got := pooltest.Picks(h, h.Upstreams, 60); got[pooltest.None] > 0 {
			t.Errorf("all are down, and so all may be picked, yet %v", got)
		}
	})
}

func TestAllDownWithPanicThresholdZero(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := pooltest.NewHandler(t, pooltest.With(config, pooltest.With(pooltest.Checked, object{"panic_threshold": 0})), 3)
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1), pooltest.Dial(2))
		if got := pooltest.Picks(h, h.Upstreams, 20); got[pooltest.None] != 20 {
			t.Errorf("all are down and verdicts hold, yet %v", got)
		}
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1))
		if got := pooltest.Picks(h, h.Upstreams, 20); got[pooltest.Dial(2)] != 20 {
			t.Errorf("%s is back, yet %v", pooltest.Dial(2), got)
		}
	})
}

func TestInitialCheckingGetsNothingBeforeItPasses(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		pooltest.SetDown(pooltest.Dial(0))
		h := pooltest.NewHandler(t, pooltest.With(config, object{"health_checks": []object{
			{"interval": "1s", "initial": "checking", "checker": object{"type": "switched"}},
		}}), 2)
		if got := pooltest.Pick(h, h.Upstreams, pooltest.NewRequest()); got != pooltest.None {
			t.Errorf("nothing was probed yet, and still %s was picked", got)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := pooltest.Picks(h, h.Upstreams, 20); got[pooltest.Dial(1)] != 20 {
			t.Errorf("only %s has passed, yet %v", pooltest.Dial(1), got)
		}
	})
}

func TestWeightZeroGetsNothing(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		zero := func(numbers ...int) object {
			weights := object{}
			for _, i := range numbers {
				weights[pooltest.Dial(i)] = 0
			}
			return pooltest.With(config, object{"weights": weights})
		}
		h := pooltest.NewHandler(t, zero(1), 3)
		if got := pooltest.Picks(h, h.Upstreams, 100); got[pooltest.Dial(1)] > 0 || got[pooltest.None] > 0 {
			t.Errorf("got %v", got)
		}
		h = pooltest.NewHandler(t, zero(0, 1, 2), 3) // a templated configuration may drain the last one
		if got := pooltest.Picks(h, h.Upstreams, 20); got[pooltest.None] != 20 {
			t.Errorf("nobody has a weight, yet %v", got)
		}
	})
}

func TestFullUpstreamGetsNothing(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		const limit = 60
		h := pooltest.NewHandler(t, pooltest.With(config, object{"default_max_requests": limit}), 40)
		for _, u := range h.Upstreams {
			pooltest.SetActive(u, limit)
		}
		if got := pooltest.Picks(h, h.Upstreams, 5); got[pooltest.None] != 5 {
			t.Errorf("all are full, yet %v", got)
		}
		pooltest.SetActive(h.Upstreams[17], 10)
		if got := pooltest.Picks(h, h.Upstreams, 50); got[pooltest.Dial(17)] != 50 {
			t.Errorf("only %s has room, yet %v", pooltest.Dial(17), got)
		}
		for _, u := range h.Upstreams {
			pooltest.SetActive(u, 0) // other tests share the hosts
		}
	})
}

func TestConcurrentPicksWhileVerdictsFlip(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := pooltest.NewHandler(t, pooltest.With(config, pooltest.Checked), 5)
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
					if pooltest.Pick(h, h.Upstreams, pooltest.NewRequest()) == pooltest.None {
						t.Error("nothing picked")
						return
					}
					time.Sleep(20 * time.Millisecond) // lets the bubble's clock go on
				}
			})
		}
		for i := range 5 {
			pooltest.SetDown(pooltest.Dial(i), pooltest.Dial((i+1)%5))
		}
		close(stop)
		wg.Wait()
	})
}

func TestUpstreamsInAnyOrderAndNumber(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := pooltest.NewHandler(t, pooltest.With(config, pooltest.Checked), 0)
		a := pooltest.Upstreams(0, 1, 2)
		if got := pooltest.Picks(h, a, 30); got[pooltest.None] > 0 {
			t.Errorf("got %v", got)
		}
		pooltest.SetDown(pooltest.Dial(1))
		slices.Reverse(a)
		if got := pooltest.Picks(h, a, 30); got[pooltest.Dial(1)] > 0 || got[pooltest.None] > 0 {
			t.Errorf("%s is down, yet %v", pooltest.Dial(1), got)
		}
		if got := pooltest.Picks(h, pooltest.Upstreams(1, 4), 30); got[pooltest.Dial(4)] != 30 {
			t.Errorf("%s is down in another set, too, yet %v", pooltest.Dial(1), got)
		}
		if got := pooltest.Picks(h, pooltest.Upstreams(4, 4), 5); got[pooltest.Dial(4)] != 5 {
			t.Errorf("got %v", got)
		}
	})
}

func TestPolicyOutsideReverseProxyPicks(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
		defer cancel()
		config = pooltest.With(config, nil)
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
		if got := pooltest.Picks(h, pooltest.Upstreams(1, 2, 3), 60); got[pooltest.None] > 0 {
			t.Errorf("%v", got)
		}
	})
}
