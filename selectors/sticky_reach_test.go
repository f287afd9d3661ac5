package selectors

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// A session that was made at another level goes on there.
func TestSessionStaysAtItsLevel(t *testing.T) {
	forWays(t, func(t *testing.T, open opener) {
		h := open(4, pooltest.With(pooltest.Checked, pooltest.SecondLevel(2, 4)))
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1))
		b := settled(t, h, pooltest.Dial(3))
		pooltest.SetDown()
		expectStays(t, "the first level is back", h, b, pooltest.Dial(3))
		if got := newcomers(t, h, 60); pooltest.Sum(got, 2, 4) > 0 {
			t.Errorf("new sessions go to %v", got)
		}
		pooltest.SetDown(pooltest.Dial(3))
		expectMoves(t, "it is down", h, b, pooltest.Dial(3))
	})
}

func TestSessionStaysWithOneDegraded(t *testing.T) {
	forWays(t, func(t *testing.T, open opener) {
		h := open(4, pooltest.Reporting)
		b := settled(t, h, pooltest.Dial(0))
		pooltest.Report(pooltest.Dial(0), pooltest.Degraded)
		expectStays(t, "degraded", h, b, pooltest.Dial(0))
		if got := newcomers(t, h, 60); got[pooltest.Dial(0)] > 0 {
			t.Errorf("new sessions go to %v", got)
		}
	})
}

func TestSessionInAPanic(t *testing.T) {
	forWays(t, func(t *testing.T, open opener) {
		h := open(4, pooltest.Checked)
		b := settled(t, h, pooltest.Dial(2))
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1), pooltest.Dial(2), pooltest.Dial(3))
		expectStays(t, "all are down", h, b, pooltest.Dial(2))
		pooltest.SetDown(pooltest.Dial(1), pooltest.Dial(2), pooltest.Dial(3))
		expectMoves(t, "one is up", h, b, pooltest.Dial(2))
	})
	forWays(t, func(t *testing.T, open opener) {
		h := open(4, pooltest.With(pooltest.Checked, object{"panic_threshold": 0}))
		b := settled(t, h, pooltest.Dial(2))
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1), pooltest.Dial(2), pooltest.Dial(3))
		if got := b.visit(t, h); !got.refused() {
			t.Errorf("there is no panic: %+v", got)
		}
		pooltest.SetDown()
		expectStays(t, "they are back", h, b, pooltest.Dial(2))
	})
}

func TestSessionOfAFullUpstream(t *testing.T) {
	for name, by := range map[string]func(t *testing.T, h *reverseproxy.Handler){
		"by Caddy's count": func(_ *testing.T, h *reverseproxy.Handler) {
			for _, u := range h.Upstreams {
				u.MaxRequests = 2
			}
		},
		"by its agent's": func(*testing.T, *reverseproxy.Handler) {
			pooltest.Report(pooltest.Dial(1), healthcheck.Report{Order: healthcheck.Order{Limit: 2}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			forWays(t, func(t *testing.T, open opener) {
				h := open(3, pooltest.Reporting)
				by(t, h)
				b := settled(t, h, pooltest.Dial(1))
				full := h.Upstreams[1]
				defer pooltest.SetActive(full, 0)
				pooltest.SetActive(full, 1)
				expectStays(t, "there is room", h, b, pooltest.Dial(1))
				pooltest.SetActive(full, 2)
				expectMoves(t, "there is none", h, b.clone(), pooltest.Dial(1))
				pooltest.SetActive(full, 1)
				expectStays(t, "there is room again", h, b, pooltest.Dial(1))
			})
			forWays(t, func(t *testing.T, open opener) {
				h := open(3, pooltest.With(pooltest.Reporting, object{"strict": true}))
				by(t, h)
				b := settled(t, h, pooltest.Dial(1))
				full := h.Upstreams[1]
				defer pooltest.SetActive(full, 0)
				pooltest.SetActive(full, 2)
				if got := b.visit(t, h); !got.refused() {
					t.Errorf("strict: %+v", got)
				}
			})
		})
	}
}

// source returns the upstreams of these numbers.
type source []int

func (s *source) GetUpstreams(*http.Request) ([]*reverseproxy.Upstream, error) {
	return pooltest.Upstreams(*s...), nil
}

// sourced provisions a handler whose upstreams are those of a source.
func sourced(t *testing.T, s *source, policy object) *reverseproxy.Handler {
	t.Helper()
	pooltest.NewScripted(t, sticky(), 0) // so that acts end with the test
	h := pooltest.LoadHandler(t, object{
		"load_balancing":    object{"selection_policy": policy},
		"transport":         object{"protocol": "scripted"},
		"dynamic_upstreams": object{"source": "a", "name": "localhost", "port": "80"},
	})
	h.DynamicUpstreams = s
	return h
}

func TestSessionsOfDynamicUpstreams(t *testing.T) {
	// With the first one, Caddy starts what never ends, and so cannot be in a bubble.
	newBrowser().visit(t, sourced(t, &source{0}, sticky()))
	for name, way := range ways {
		alone(t, name, func(t *testing.T) {
			s := &source{0, 1, 2}
			h := sourced(t, s, sticky(way(4), pooltest.Checked))
			if name == "learned" || name == "routed" {
				for i := range 10 {
					pooltest.Script(pooltest.Dial(i), app(i))
				}
			}
			b := settled(t, h, pooltest.Dial(1))
			for _, set := range []source{{0, 1, 2}, {2, 1, 0}, {1, 5}, {1}, {1, 1}, {7, 8, 9, 1}} {
				*s = set
				expectStays(t, fmt.Sprint("among ", set), h, b, pooltest.Dial(1))
			}
			*s = source{0, 2}
			expectMoves(t, "it is gone", h, b.clone(), pooltest.Dial(1))
			*s = source{0, 1, 2}
			pooltest.SetDown(pooltest.Dial(1))
			expectMoves(t, "it is down", h, b.clone(), pooltest.Dial(1))
			pooltest.SetDown()
			expectStays(t, "it is back", h, b, pooltest.Dial(1))
			*s = nil
			expectStays(t, "the source has failed", h, b, pooltest.Dial(1))
		})
	}
}

// One on probation gets its sessions, one request at a time; those of its strict
// sessions all.
func TestSessionsOfOneOnProbation(t *testing.T) {
	for _, strict := range []bool{false, true} {
		t.Run(fmt.Sprintf("strict %t", strict), func(t *testing.T) {
			forWays(t, func(t *testing.T, open opener) {
				h := open(3, object{"strict": strict})
				b := settled(t, h, pooltest.Dial(1))
				fail(t, h, b, pooltest.Dial(1))
				time.Sleep(31 * time.Second)
				synctest.Wait()
				counts := make(map[string]int)
				var ends []func()
				for range 8 { // none gets as far as an attempt
					r, end := pooltest.WithEnd(b.request())
					ends = append(ends, end)
					counts[pooltest.Pick(h, h.Upstreams, r)]++
				}
				if n := counts[pooltest.Dial(1)]; strict != (n == 8) || n == 0 || !strict && n > 1 {
					t.Errorf("picked %v", counts)
				}
				for _, end := range ends {
					end()
				}
				synctest.Wait()
				var c pooltest.Crowd
				pooltest.Script(pooltest.Dial(1), c.Take(10*time.Second))
				var all []<-chan served
				for range 8 {
					r := b.clone()
					all = append(all, visits(t, h, r))
				}
				got := make(map[bool]int)
				for _, done := range all {
					s := <-done
					if s.status != http.StatusOK {
						t.Errorf("%+v", s)
					}
					got[s.by == pooltest.Dial(1)]++
				}
				if want := map[bool]int{false: 1, true: 8}[strict]; got[true] != want || int(c.Most()) != want {
					t.Errorf("%d of 8 stayed", got[true])
				}
				expectStays(t, "after a success", h, b, pooltest.Dial(1))
			})
		})
	}
}
