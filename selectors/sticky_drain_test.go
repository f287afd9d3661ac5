package selectors

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// order is what an upstream says that gives an order.
func order(o healthcheck.Order) func(*testing.T, *reverseproxy.Handler, *browser, string) {
	return func(_ *testing.T, _ *reverseproxy.Handler, _ *browser, address string) {
		pooltest.Report(address, healthcheck.Report{Order: o})
	}
}

// fail has requests of the session fail until its upstream is ejected.
func fail(t *testing.T, h *reverseproxy.Handler, b *browser, address string) {
	t.Helper()
	pooltest.Script(address, pooltest.Refuse)
	for range 5 {
		b.clone().visit(t, h)
		synctest.Wait()
	}
	pooltest.Script(address, nil)
	if pooltest.Tries(address) < 5 {
		t.Fatalf("%s had %d attempts", address, pooltest.Tries(address))
	}
}

// fates are what may befall an upstream: some of them leave it its sessions, but
// no new ones, and others do not.
var fates = map[string]struct {
	keeps  bool
	befall func(t *testing.T, h *reverseproxy.Handler, b *browser, address string)
	undo   func(t *testing.T, h *reverseproxy.Handler, b *browser, address string)
}{
	"drained":     {true, order(healthcheck.Order{Mode: healthcheck.Drain}), order(healthcheck.Order{Mode: healthcheck.Ready})},
	"weight 0":    {true, order(healthcheck.Order{Weight: healthcheck.WeightOrder{Unit: healthcheck.Percent}}), order(healthcheck.Order{Weight: healthcheck.WeightOrder{Value: 100, Unit: healthcheck.Percent}})},
	"maintenance": {false, order(healthcheck.Order{Mode: healthcheck.Maint}), order(healthcheck.Order{Mode: healthcheck.Ready})},
	"down": {false,
		func(_ *testing.T, _ *reverseproxy.Handler, _ *browser, address string) { pooltest.SetDown(address) },
		func(*testing.T, *reverseproxy.Handler, *browser, string) { pooltest.SetDown() }},
	"ejected": {false, fail,
		func(*testing.T, *reverseproxy.Handler, *browser, string) {
			time.Sleep(31 * time.Second)
			synctest.Wait()
		}},
}

// twoChecks are one that may be failed and one that hears orders.
var twoChecks = object{"health_checks": []object{
	{"interval": "1s", "checker": object{"type": "switched"}},
	{"interval": "1s", "checker": object{"type": "reporting"}},
}}

// forFates runs a test for each way and each fate.
func forFates(t *testing.T, test func(t *testing.T, fate string, open opener)) {
	for name := range fates {
		t.Run(name, func(t *testing.T) {
			forWays(t, func(t *testing.T, open opener) { test(t, name, open) })
		})
	}
}

func TestFateOfAnUpstreamIsThatOfItsSessions(t *testing.T) {
	forFates(t, func(t *testing.T, name string, open opener) {
		fate := fates[name]
		h := open(4, twoChecks)
		b := settled(t, h, pooltest.Dial(1))
		before := b.clone()
		fate.befall(t, h, b, pooltest.Dial(1))
		if got := newcomers(t, h, 60); got[pooltest.Dial(1)] > 0 || got[pooltest.None] > 0 {
			t.Errorf("new sessions go to %v", got)
		}
		if fate.keeps {
			expectStays(t, name, h, b, pooltest.Dial(1))
		} else {
			expectMoves(t, name, h, b, pooltest.Dial(1))
		}
		fate.undo(t, h, b, pooltest.Dial(1))
		if after := b.visit(t, h); fate.keeps != (after.by == pooltest.Dial(1)) {
			t.Errorf("when all is well again, it is with %s", after.by)
		}
		expectStays(t, "who does not know that it has moved", h, before, pooltest.Dial(1))
	})
}

func TestStrictSessionsDoNotMove(t *testing.T) {
	forFates(t, func(t *testing.T, name string, open opener) {
		fate := fates[name]
		h := open(4, pooltest.With(twoChecks, object{"strict": true}))
		b := settled(t, h, pooltest.Dial(1))
		fate.befall(t, h, b, pooltest.Dial(1))
		if fate.keeps || name == "ejected" { // there is no other upstream for it, and this one is back
			expectStays(t, name, h, b, pooltest.Dial(1))
			return
		}
		for range 5 {
			if got := b.visit(t, h); !got.refused() {
				t.Fatalf("%+v", got)
			}
		}
		if got := newcomers(t, h, 60); got[pooltest.Dial(1)] > 0 || got[pooltest.None] > 0 {
			t.Errorf("new sessions go to %v", got)
		}
		fate.undo(t, h, b, pooltest.Dial(1))
		expectStays(t, "when all is well again", h, b, pooltest.Dial(1))
	})
}

// The configuration gives a weight of 0, and takes it back.
func TestWeightZeroByTheConfiguration(t *testing.T) {
	forWays(t, func(t *testing.T, open opener) {
		b := settled(t, open(3, nil), pooltest.Dial(1))
		h := open(3, object{"weights": object{pooltest.Dial(1): 0}})
		expectStays(t, "weight 0", h, b, pooltest.Dial(1))
		if got := newcomers(t, h, 60); got[pooltest.Dial(1)] > 0 || got[pooltest.None] > 0 {
			t.Errorf("new sessions go to %v", got)
		}
		expectStays(t, "weight 0 no more", open(3, nil), b, pooltest.Dial(1))
	})
}

func TestUncheckedUpstreamHasNoSessions(t *testing.T) {
	for name, strict := range map[string]bool{"strict": true, "not strict": false} {
		t.Run(name, func(t *testing.T) {
			forWays(t, func(t *testing.T, open opener) {
				b := settled(t, open(3, nil), pooltest.Dial(1))
				pooltest.SwitchOff(pooltest.Dial(1))
				h := open(3, object{"strict": strict, "health_checks": []object{
					{"interval": "1s", "initial": "checking", "checker": object{"type": "switched"}},
				}})
				time.Sleep(2 * time.Second)
				synctest.Wait()
				got := b.clone().visit(t, h)
				if strict != (got.by == pooltest.None) || got.by == pooltest.Dial(1) {
					t.Errorf("before its check has passed: %+v", got)
				}
				pooltest.SetDown()
				expectStays(t, "after that", h, b, pooltest.Dial(1))
			})
		})
	}
}

// What a session names may be gone for good: then it is a new one, strict or not.
func TestUpstreamThatIsGone(t *testing.T) {
	for name, strict := range map[string]bool{"strict": true, "not strict": false} {
		t.Run(name, func(t *testing.T) {
			forWays(t, func(t *testing.T, open opener) {
				b := settled(t, open(4, nil), pooltest.Dial(3))
				h := open(3, object{"strict": strict})
				expectMoves(t, "one less", h, b, pooltest.Dial(3))
			})
		})
	}
}

// A session does not bring those down who are drained, and does not keep them up:
// with nobody else left there is no panic.
func TestDrainedOnesKeepTheirSessionsThoughAllAre(t *testing.T) {
	forWays(t, func(t *testing.T, open opener) {
		h := open(2, twoChecks)
		b := settled(t, h, pooltest.Dial(0))
		for i := range 2 {
			pooltest.Report(pooltest.Dial(i), healthcheck.Report{Order: healthcheck.Order{Mode: healthcheck.Drain}})
		}
		expectStays(t, "all are drained", h, b, pooltest.Dial(0))
		if got := newBrowser().visit(t, h); !got.refused() {
			t.Errorf("a new session: %+v", got)
		}
		pooltest.SetDown(pooltest.Dial(0))
		if got := b.visit(t, h); !got.refused() {
			t.Errorf("drained and down: %+v", got)
		}
	})
}
