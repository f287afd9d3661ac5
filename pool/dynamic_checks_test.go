package pool_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// probed returns how often each upstream was probed within the next minute, while the
// given ones are asked for every second.
func probed(h *reverseproxy.Handler, numbers ...int) map[string]int {
	pooltest.ResetProbes()
	for range 60 {
		if len(numbers) > 0 {
			pooltest.Pick(h, pooltest.Upstreams(numbers...), pooltest.NewRequest())
		}
		time.Sleep(time.Second)
	}
	synctest.Wait()
	return pooltest.Probes()
}

var countingPolicy = object{"policy": "by_weight", "health_checks": []object{{"interval": "10s", "checker": object{"type": "switched"}}}}

func TestDynamicUpstreamIsCheckedFromItsFirstAppearance(t *testing.T) {
	pooltest.Test(t, func(t *testing.T) {
		h := pooltest.NewHandler(t, countingPolicy, 0)
		if got := probed(h, 1, 2); got[pooltest.Dial(1)] < 6 || got[pooltest.Dial(2)] < 6 || len(got) != 2 {
			t.Errorf("%v", got)
		}
		if got := probed(h, 2, 3); got[pooltest.Dial(3)] < 6 {
			t.Errorf("%v", got)
		}
	})
}

func TestGoneDynamicUpstreamIsCheckedForFiveMinutesMore(t *testing.T) {
	pooltest.Test(t, func(t *testing.T) {
		h := pooltest.NewHandler(t, countingPolicy, 0)
		probed(h, 1, 2)
		for minute := 1; minute <= 7; minute++ {
			got := probed(h, 2)
			if minute <= 4 && got[pooltest.Dial(1)] < 5 {
				t.Errorf("minute %d: %v, too early", minute, got)
			}
			if minute == 7 && (got[pooltest.Dial(1)] > 0 || got[pooltest.Dial(2)] < 5) {
				t.Errorf("minute %d: %v", minute, got)
			}
		}
		if got := probed(h, 1, 2); got[pooltest.Dial(1)] < 5 {
			t.Errorf("it is back: %v", got)
		}
	})
}

func TestNothingIsForgottenWithoutRequests(t *testing.T) {
	pooltest.Test(t, func(t *testing.T) {
		h := pooltest.NewHandler(t, countingPolicy, 0)
		probed(h, 1, 2)
		time.Sleep(time.Hour)
		if got := probed(h); got[pooltest.Dial(1)] < 5 || got[pooltest.Dial(2)] < 5 {
			t.Errorf("%v", got)
		}
	})
}

func TestDynamicUpstreamsAreBoundedInNumber(t *testing.T) {
	pooltest.Test(t, func(t *testing.T) {
		h := pooltest.NewHandler(t, countingPolicy, 0)
		var numbers []int
		for i := range 10_050 {
			numbers = append(numbers, i)
		}
		all := pooltest.Upstreams(numbers...)
		if pooltest.Pick(h, all, pooltest.NewRequest()) == pooltest.None {
			t.Error("nothing picked")
		}
		pooltest.ResetProbes()
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if n := len(pooltest.Probes()); n != 10_000 {
			t.Errorf("%d addresses are probed", n)
		}
		unchecked := all[10_000:]
		if pooltest.Pick(h, unchecked, pooltest.NewRequest()) == pooltest.None {
			t.Error("unchecked ones may be picked")
		}
	})
}

// Addresses of names that clients choose are not probed once no request asks for them,
// even where no request asks for anything.
func TestAddressesThatClientsNameAreForgottenWithoutRequests(t *testing.T) {
	pooltest.Test(t, func(t *testing.T) {
		h := pooltest.LoadHandler(t, object{
			"load_balancing":    object{"selection_policy": countingPolicy},
			"dynamic_upstreams": object{"source": "a", "name": "{http.request.host.labels.2}.pool.test"},
		})
		if got := probed(h, 1, 2); got[pooltest.Dial(1)] < 5 || got[pooltest.Dial(2)] < 5 {
			t.Errorf("%v", got)
		}
		time.Sleep(10 * time.Minute)
		if got := probed(h); len(got) > 0 {
			t.Errorf("still probed: %v", got)
		}
		if got := probed(h, 1); got[pooltest.Dial(1)] < 5 || len(got) > 1 {
			t.Errorf("one of them is back: %v", got)
		}
	})
}
