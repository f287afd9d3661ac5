package selectors

import (
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
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
		h := open(2, pooltest.With(queue, object{"strict": true}), object{"max_requests": 1})
		b := settled(t, h, pooltest.Dial(0))
		u := h.Upstreams[0]
		defer pooltest.SetActive(u, 0)
		pooltest.SetActive(u, 1)
		waiting := visits(t, h, b)
		time.Sleep(5 * time.Second)
		if len(waiting) > 0 {
			t.Fatalf("strict, and it does not wait: %+v", <-waiting)
		}
		pooltest.SetActive(u, 0)
		if got := <-waiting; got.by != pooltest.Dial(0) || len(got.set) > 0 {
			t.Errorf("strict, and there is room again: %+v", got)
		}
		pooltest.SetActive(u, 1)
		if got := b.visit(t, h); got.by != pooltest.None || got.status != 503 || got.header.Get("Retry-After") != "1" || len(got.set) > 0 {
			t.Errorf("strict, and it has waited in vain: %+v", got)
		}
	})
	forWays(t, func(t *testing.T, open opener) {
		h := open(2, queue, object{"max_requests": 1})
		b := settled(t, h, pooltest.Dial(0))
		for _, u := range h.Upstreams {
			defer pooltest.SetActive(u, 0)
		}
		pooltest.SetActive(h.Upstreams[0], 1)
		expectMoves(t, "the other one has room", h, b.clone(), pooltest.Dial(0))
		pooltest.SetActive(h.Upstreams[1], 1)
		waiting := visits(t, h, b)
		if len(waiting) > 0 {
			t.Fatalf("it does not wait: %+v", <-waiting)
		}
		pooltest.SetActive(h.Upstreams[0], 0)
		if got := <-waiting; got.by != pooltest.Dial(0) || len(got.set) > 0 {
			t.Errorf("there is room again: %+v", got)
		}
	})
}

// However many of a session come at once, an upstream gets no more than it takes.
func TestSessionsReserveTheirSlots(t *testing.T) {
	forWays(t, func(t *testing.T, open opener) {
		const requests, limit = 40, 3
		h := open(2, object{"strict": true, "queue": object{"length": requests}}, object{"max_requests": limit})
		b := settled(t, h, pooltest.Dial(0))
		var c pooltest.Crowd
		pooltest.Script(pooltest.Dial(0), c.Take(time.Second))
		var wg sync.WaitGroup
		for range requests {
			wg.Go(func() {
				if got := b.clone().visit(t, h); got.by != pooltest.Dial(0) {
					t.Errorf("%+v", got)
				}
			})
		}
		wg.Wait()
		if most := c.Most(); most != limit {
			t.Errorf("%d at a time", most)
		}
		var all []<-chan pooltest.Outcome
		var ends []func()
		for range requests { // of which none gets as far as an attempt
			r, end := pooltest.WithEnd(b.request())
			ends = append(ends, end)
			all = append(all, pooltest.Arrive(h, r))
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
			h := pooltest.NewScripted(t, sticky(object{"queue": object{"length": 2, "timeout": "1s"}}), 2, object{"max_requests": 1})
			r, w := newBrowser().request(), httptest.NewRecorder()
			policy := h.LoadBalancing.SelectionPolicy
			u := policy.Select(h.Upstreams, r, w)
			if u == nil || len(w.Header()["Set-Cookie"]) != 1 {
				t.Fatalf("picked %v, set %v", u, w.Header())
			}
			pooltest.Script(u.Dial, pooltest.Refuse)
			pooltest.Attempt(h, r, u)
			for _, u := range h.Upstreams {
				defer pooltest.SetActive(u, 0)
				pooltest.SetActive(u, 1)
			}
			for range ahead {
				pooltest.Arrive(h, pooltest.NewRequest())
			}
			if u := policy.Select(h.Upstreams, r, w); u != nil || len(w.Header()["Set-Cookie"]) > 0 || w.Header().Get("Retry-After") != "1" {
				t.Errorf("picked %v, set %v", u, w.Header())
			}
			time.Sleep(2 * time.Second)
		})
	}
}

func TestStrictSessionBlocksNobodyElse(t *testing.T) {
	forWays(t, func(t *testing.T, open opener) {
		h := open(3, object{"strict": true, "queue": object{"length": 50, "timeout": "10s"}}, object{"max_requests": 1})
		b := settled(t, h, pooltest.Dial(0))
		u := h.Upstreams[0]
		defer pooltest.SetActive(u, 0)
		pooltest.SetActive(u, 1)
		first := visits(t, h, b)
		second := visits(t, h, b.clone())
		pooltest.ExpectOthersServed(t, h, pooltest.Dial(0))
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if len(first)+len(second) > 0 {
			t.Fatal("the upstream is full, and its sessions do not wait")
		}
		pooltest.ExpectOthersServed(t, h, pooltest.Dial(0))
		pooltest.SetActive(u, 0)
		if got := <-first; got.by != pooltest.Dial(0) {
			t.Errorf("there is room for the first: %+v", got)
		}
		if got := <-second; got.by != pooltest.Dial(0) {
			t.Errorf("there is room for the second: %+v", got)
		}
	})
}
