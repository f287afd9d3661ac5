package selectors

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// onProbation provisions a handler of n upstreams of which one is on probation.
func onProbation(t *testing.T, config object, n int) (h *reverseproxy.Handler, victim string) {
	t.Helper()
	h, victim = ejected(t, config, n)
	time.Sleep(30 * time.Second)
	synctest.Wait()
	return h, victim
}

// crowd notes how many are with an upstream at a time.
type crowd struct{ now, most atomic.Int32 }

// with is to answer 200 after some time, and to be noted.
func (c *crowd) with(d time.Duration) act {
	return func(r *http.Request) (*http.Response, error) {
		n := c.now.Add(1)
		defer c.now.Add(-1)
		for most := c.most.Load(); n > most && !c.most.CompareAndSwap(most, n); {
			most = c.most.Load()
		}
		return take(d)(r)
	}
}

// serveAtOnce has n requests served at the same time, and does not wait for them.
func serveAtOnce(t *testing.T, wg *sync.WaitGroup, h *reverseproxy.Handler, n int) {
	for range n {
		wg.Go(func() {
			if serve(h, newRequest()) == none {
				t.Error("nothing picked")
			}
		})
	}
	synctest.Wait()
}

// Two handlers, of two policies, know of the same probation.
func TestProbationIsOneRequestAtATime(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h, victim := onProbation(t, config, 4)
		other := staged(t, object{"policy": "weighted_random"}, 4)
		var c crowd
		play(victim, c.with(10*time.Second))
		before := tries(victim)
		var wg sync.WaitGroup
		for range 3 {
			serveAtOnce(t, &wg, h, 50)
			serveAtOnce(t, &wg, other, 50)
			time.Sleep(3 * time.Second)
		}
		if got := tries(victim) - before; got != 1 || c.most.Load() != 1 {
			t.Errorf("%d attempts, %d at a time", got, c.most.Load())
		}
		wg.Wait()
		for i := range 4 { // all as fast as each other, for policies that heed that
			play(dial(i), take(time.Second))
		}
		failUntil(t, h, victim, take(time.Second), tries(victim)+5)
		failUntil(t, other, victim, take(time.Second), tries(victim)+5)
	})
}

// Whoever fails on probation fails alone, however many there are.
func TestProbationThatFailsCostsOneRequest(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h, victim := onProbation(t, config, 4)
		play(victim, func(r *http.Request) (*http.Response, error) {
			time.Sleep(1200 * time.Millisecond)
			return refuse(r)
		})
		before := tries(victim)
		var wg sync.WaitGroup
		for range 5 {
			serveAtOnce(t, &wg, h, 50)
			time.Sleep(500 * time.Millisecond)
		}
		wg.Wait()
		if got := tries(victim) - before; got != 1 {
			t.Errorf("%d attempts", got)
		}
	})
}

// A pick that no attempt follows keeps others away until its request ends.
func TestClaimOnProbationIsGivenBack(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h, victim := onProbation(t, config, 4)
		for n := range 3 {
			got, end := ofManyUntil(h, 100)
			if got[victim] != 1 || got[none] > 0 {
				t.Errorf("time %d: %v", n, got)
			}
			time.Sleep(time.Minute)
			others, endOthers := ofManyUntil(h, 100)
			if others[victim] != 0 {
				t.Errorf("time %d, a minute later: %v", n, others)
			}
			end()
			endOthers()
		}
	})
}

// Better one on probation than one that has failed the request.
func TestRetryGoesToOneOnProbationThoughItHasItsRequest(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h, victim := onProbation(t, config, 2)
		play(victim, take(10*time.Second))
		var wg sync.WaitGroup
		for tries(victim) == 5 {
			serveAtOnce(t, &wg, h, 1)
		}
		r := newRequest()
		u := h.LoadBalancing.SelectionPolicy.Select(h.Upstreams, r, nil)
		if u == nil || u.Dial == victim {
			t.Fatalf("picked %v", u)
		}
		play(u.Dial, refuse)
		attempt(h, r, u)
		if got := pick(h, h.Upstreams, r); got != victim {
			t.Errorf("the retry goes to %s", got)
		}
		wg.Wait()
	})
}

// Another handler, which has more upstreams, may eject all of this one's. They are
// picked nevertheless, and likewise when all are on probation.
func TestEveryoneOutOrOnProbationIsNobodyOut(t *testing.T) {
	for name, threshold := range map[string]object{"by default": nil, "no panic": {"panic_threshold": 0}} {
		t.Run(name, func(t *testing.T) {
			forAll(t, func(t *testing.T, config object) {
				more := staged(t, with(object{"policy": "smooth_weighted_round_robin"}, longEjections), 3)
				h := staged(t, with(config, with(longEjections, threshold)), 2)
				for i := range 2 {
					failUntil(t, more, dial(i), refuse, tries(dial(i))+5)
					play(dial(i), take(time.Minute))
				}
				expect := func(when string) {
					t.Helper()
					if got := ofMany(h, 40); got[none] > 0 {
						t.Errorf("%s: %v", when, got)
					}
					var wg sync.WaitGroup
					serveAtOnce(t, &wg, h, 40)
					if got := ofMany(h, 40); got[none] > 0 {
						t.Errorf("%s, and busy: %v", when, got)
					}
					wg.Wait()
				}
				expect("ejected")
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				expect("on probation")
			})
		})
	}
}
