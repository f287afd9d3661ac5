package selectors

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
)

// A session that was made at another level goes on there.
func TestSessionStaysAtItsLevel(t *testing.T) {
	forWays(t, func(t *testing.T, open opener) {
		h := open(4, with(checked, backups(2, 4)))
		setDown(dial(0), dial(1))
		b := settled(t, h, dial(3))
		setDown()
		expectStays(t, "the first level is back", h, b, dial(3))
		if got := newcomers(t, h, 60); sum(got, 2, 4) > 0 {
			t.Errorf("new sessions go to %v", got)
		}
		setDown(dial(3))
		expectMoves(t, "it is down", h, b, dial(3))
	})
}

func TestSessionStaysWithOneDegraded(t *testing.T) {
	forWays(t, func(t *testing.T, open opener) {
		h := open(4, told)
		b := settled(t, h, dial(0))
		say(dial(0), degraded)
		expectStays(t, "degraded", h, b, dial(0))
		if got := newcomers(t, h, 60); got[dial(0)] > 0 {
			t.Errorf("new sessions go to %v", got)
		}
	})
}

func TestSessionInAPanic(t *testing.T) {
	forWays(t, func(t *testing.T, open opener) {
		h := open(4, checked)
		b := settled(t, h, dial(2))
		setDown(dial(0), dial(1), dial(2), dial(3))
		expectStays(t, "all are down", h, b, dial(2))
		setDown(dial(1), dial(2), dial(3))
		expectMoves(t, "one is up", h, b, dial(2))
	})
	forWays(t, func(t *testing.T, open opener) {
		h := open(4, with(checked, object{"panic_threshold": 0}))
		b := settled(t, h, dial(2))
		setDown(dial(0), dial(1), dial(2), dial(3))
		if got := b.visit(t, h); got.by != none || got.status != 503 || len(got.header) > 0 {
			t.Errorf("there is no panic: %+v", got)
		}
		setDown()
		expectStays(t, "they are back", h, b, dial(2))
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
			say(dial(1), healthcheck.Report{Order: healthcheck.Order{Limit: 2}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			forWays(t, func(t *testing.T, open opener) {
				h := open(3, told)
				by(t, h)
				b := settled(t, h, dial(1))
				full := h.Upstreams[1]
				defer busy(full, 0)
				busy(full, 1)
				expectStays(t, "there is room", h, b, dial(1))
				busy(full, 2)
				expectMoves(t, "there is none", h, b.clone(), dial(1))
				busy(full, 1)
				expectStays(t, "there is room again", h, b, dial(1))
			})
			forWays(t, func(t *testing.T, open opener) {
				h := open(3, with(told, object{"strict": true}))
				by(t, h)
				b := settled(t, h, dial(1))
				full := h.Upstreams[1]
				defer busy(full, 0)
				busy(full, 2)
				if got := b.visit(t, h); got.by != none || got.status != 503 || len(got.header) > 0 {
					t.Errorf("strict: %+v", got)
				}
			})
		})
	}
}

// source returns the upstreams of these numbers.
type source []int

func (s *source) GetUpstreams(*http.Request) ([]*reverseproxy.Upstream, error) {
	return upstreams(*s...), nil
}

// sourced provisions a handler whose upstreams are those of a source.
func sourced(t *testing.T, s *source, policy object) *reverseproxy.Handler {
	t.Helper()
	staged(t, sticky(), 0) // so that acts end with the test
	h := loadHandler(t, object{
		"load_balancing":    object{"selection_policy": policy},
		"transport":         object{"protocol": "stage"},
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
			h := sourced(t, s, sticky(way(4), checked))
			if name == "learned" || name == "routed" {
				for i := range 10 {
					play(dial(i), app(i))
				}
			}
			b := settled(t, h, dial(1))
			for _, set := range []source{{0, 1, 2}, {2, 1, 0}, {1, 5}, {1}, {1, 1}, {7, 8, 9, 1}} {
				*s = set
				expectStays(t, fmt.Sprint("among ", set), h, b, dial(1))
			}
			*s = source{0, 2}
			expectMoves(t, "it is gone", h, b.clone(), dial(1))
			*s = source{0, 1, 2}
			setDown(dial(1))
			expectMoves(t, "it is down", h, b.clone(), dial(1))
			setDown()
			expectStays(t, "it is back", h, b, dial(1))
			*s = nil
			expectStays(t, "the source has failed", h, b, dial(1))
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
				b := settled(t, h, dial(1))
				fail(t, h, b, dial(1))
				time.Sleep(31 * time.Second)
				synctest.Wait()
				counts := make(map[string]int)
				var ends []func()
				for range 8 { // none gets as far as an attempt
					r, end := ending(b.request())
					ends = append(ends, end)
					counts[pick(h, h.Upstreams, r)]++
				}
				if n := counts[dial(1)]; strict != (n == 8) || n == 0 || !strict && n > 1 {
					t.Errorf("picked %v", counts)
				}
				for _, end := range ends {
					end()
				}
				synctest.Wait()
				var c crowd
				play(dial(1), c.with(10*time.Second))
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
					got[s.by == dial(1)]++
				}
				if want := map[bool]int{false: 1, true: 8}[strict]; got[true] != want || int(c.most.Load()) != want {
					t.Errorf("%d of 8 stayed", got[true])
				}
				expectStays(t, "after a success", h, b, dial(1))
			})
		})
	}
}
