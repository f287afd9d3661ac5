package selectors

import (
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// probed returns who was probed within the next minute, and how often, while the
// given upstreams are asked for every second.
func probed(h *reverseproxy.Handler, numbers ...int) map[string]int {
	resetProbes()
	for range 60 {
		if len(numbers) > 0 {
			pick(h, upstreams(numbers...), newRequest())
		}
		time.Sleep(time.Second)
	}
	synctest.Wait()
	board.Lock()
	defer board.Unlock()
	return maps.Clone(board.probes)
}

var countingPolicy = object{"policy": "weighted_random", "health_checks": []object{{"interval": "10s", "checker": object{"type": "switchboard"}}}}

func TestDynamicUpstreamIsCheckedFromItsFirstAppearance(t *testing.T) {
	isolate()
	synctest.Test(t, func(t *testing.T) {
		h := newHandler(t, countingPolicy, 0)
		if got := probed(h, 1, 2); got[dial(1)] < 6 || got[dial(2)] < 6 || len(got) != 2 {
			t.Errorf("%v", got)
		}
		if got := probed(h, 2, 3); got[dial(3)] < 6 {
			t.Errorf("%v", got)
		}
	})
}

func TestGoneDynamicUpstreamIsCheckedForFiveMinutesMore(t *testing.T) {
	isolate()
	synctest.Test(t, func(t *testing.T) {
		h := newHandler(t, countingPolicy, 0)
		probed(h, 1, 2)
		for minute := 1; minute <= 7; minute++ {
			got := probed(h, 2)
			if minute <= 4 && got[dial(1)] < 5 {
				t.Errorf("minute %d: %v, too early", minute, got)
			}
			if minute == 7 && (got[dial(1)] > 0 || got[dial(2)] < 5) {
				t.Errorf("minute %d: %v", minute, got)
			}
		}
		if got := probed(h, 1, 2); got[dial(1)] < 5 {
			t.Errorf("it is back: %v", got)
		}
	})
}

func TestNothingIsGoneWhileNobodyAsks(t *testing.T) {
	isolate()
	synctest.Test(t, func(t *testing.T) {
		h := newHandler(t, countingPolicy, 0)
		probed(h, 1, 2)
		time.Sleep(time.Hour)
		if got := probed(h); got[dial(1)] < 5 || got[dial(2)] < 5 {
			t.Errorf("%v", got)
		}
	})
}

func TestDynamicUpstreamsAreBoundedInNumber(t *testing.T) {
	isolate()
	synctest.Test(t, func(t *testing.T) {
		h := newHandler(t, countingPolicy, 0)
		var numbers []int
		for i := range 10_050 {
			numbers = append(numbers, i)
		}
		all := upstreams(numbers...)
		if pick(h, all, newRequest()) == none {
			t.Error("nothing picked")
		}
		resetProbes()
		time.Sleep(30 * time.Second)
		synctest.Wait()
		board.Lock()
		defer board.Unlock()
		if len(board.probes) != 10_000 {
			t.Errorf("%d addresses are probed", len(board.probes))
		}
		unchecked := all[10_000:]
		if pick(h, unchecked, newRequest()) == none {
			t.Error("unchecked ones may be picked")
		}
	})
}

func TestSourcesThatAnswerByRequestKeepApart(t *testing.T) {
	isolate()
	synctest.Test(t, func(t *testing.T) {
		h := newHandler(t, object{"policy": "smooth_weighted_round_robin"}, 0)
		for range 30 { // each in turn, for both sets by themselves
			for _, set := range [][]int{{1, 2, 3}, {7, 8}} {
				seen := make(map[string]bool)
				for range set {
					seen[pick(h, upstreams(set...), newRequest())] = true
				}
				if len(seen) != len(set) {
					t.Fatalf("set %v: %v", set, seen)
				}
			}
		}
		for i := range 3000 { // more sets than are kept
			if got := pick(h, upstreams(i, i+1), newRequest()); got == none {
				t.Fatalf("nothing picked of set %d", i)
			}
		}
	})
}
