package selectors

import (
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// visits has a request served in the background.
func visits(t *testing.T, h *reverseproxy.Handler, b *browser) <-chan served {
	done := make(chan served, 1)
	go func() { done <- b.visit(t, h) }()
	synctest.Wait()
	return done
}

func TestQueueAndSessions(t *testing.T) {
	queue := object{"queue": object{"length": 5, "timeout": "10s"}}
	forWays(t, func(t *testing.T, open opener) {
		h := open(2, with(queue, object{"strict": true}), object{"max_requests": 1})
		b := settled(t, h, dial(0))
		u := h.Upstreams[0]
		defer busy(u, 0)
		busy(u, 1)
		waiting := visits(t, h, b)
		time.Sleep(5 * time.Second)
		if len(waiting) > 0 {
			t.Fatalf("strict, and it does not wait: %+v", <-waiting)
		}
		busy(u, 0)
		if got := <-waiting; got.by != dial(0) || len(got.set) > 0 {
			t.Errorf("strict, and there is room again: %+v", got)
		}
		busy(u, 1)
		if got := b.visit(t, h); got.by != none || got.status != 503 || got.header.Get("Retry-After") != "1" || len(got.set) > 0 {
			t.Errorf("strict, and it has waited in vain: %+v", got)
		}
	})
	forWays(t, func(t *testing.T, open opener) {
		h := open(2, queue, object{"max_requests": 1})
		b := settled(t, h, dial(0))
		for _, u := range h.Upstreams {
			defer busy(u, 0)
		}
		busy(h.Upstreams[0], 1)
		expectMoves(t, "the other one has room", h, b.clone(), dial(0))
		busy(h.Upstreams[1], 1)
		waiting := visits(t, h, b)
		if len(waiting) > 0 {
			t.Fatalf("it does not wait: %+v", <-waiting)
		}
		busy(h.Upstreams[0], 0)
		if got := <-waiting; got.by != dial(0) || len(got.set) > 0 {
			t.Errorf("there is room again: %+v", got)
		}
	})
}

// However many of a session come at once, an upstream gets no more than it takes.
func TestSessionsReserveTheirSlots(t *testing.T) {
	forWays(t, func(t *testing.T, open opener) {
		const requests, limit = 40, 3
		h := open(2, object{"strict": true, "queue": object{"length": requests}}, object{"max_requests": limit})
		b := settled(t, h, dial(0))
		var c crowd
		play(dial(0), c.with(time.Second))
		var wg sync.WaitGroup
		for range requests {
			wg.Go(func() {
				if got := b.clone().visit(t, h); got.by != dial(0) {
					t.Errorf("%+v", got)
				}
			})
		}
		wg.Wait()
		if most := c.most.Load(); most != limit {
			t.Errorf("%d at a time", most)
		}
		var all []<-chan answered
		var ends []func()
		for range requests { // of which none gets as far as an attempt
			r, end := ending(b.request())
			ends = append(ends, end)
			all = append(all, come(h, r))
		}
		picked := 0
		for _, done := range all {
			picked += len(done)
		}
		if picked != limit {
			t.Errorf("%d were picked for", picked)
		}
		for _, end := range ends {
			end()
		}
		synctest.Wait()
	})
}

// Whoever is refused because of the queue was not picked for, whatever was set for
// an attempt before.
func TestNothingIsSetForWhoIsRefused(t *testing.T) {
	for name, ahead := range map[string]int{"waits in vain": 0, "waits in vain for its turn": 1, "finds the queue full": 2} {
		alone(t, name, func(t *testing.T) {
			h := staged(t, sticky(object{"queue": object{"length": 2, "timeout": "1s"}}), 2, object{"max_requests": 1})
			r, w := newBrowser().request(), httptest.NewRecorder()
			policy := h.LoadBalancing.SelectionPolicy
			u := policy.Select(h.Upstreams, r, w)
			if u == nil || len(w.Header()["Set-Cookie"]) != 1 {
				t.Fatalf("picked %v, set %v", u, w.Header())
			}
			play(u.Dial, refuse)
			attempt(h, r, u)
			for _, u := range h.Upstreams {
				defer busy(u, 0)
				busy(u, 1)
			}
			for range ahead {
				come(h, newRequest())
			}
			if u := policy.Select(h.Upstreams, r, w); u != nil || len(w.Header()["Set-Cookie"]) > 0 || w.Header().Get("Retry-After") != "1" {
				t.Errorf("picked %v, set %v", u, w.Header())
			}
			time.Sleep(2 * time.Second)
		})
	}
}
