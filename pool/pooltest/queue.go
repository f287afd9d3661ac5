package pooltest

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// NewQueued provisions a handler with a queue and n upstreams of the given limit.
func NewQueued(t *testing.T, policy Object, queue Object, n, limit int) *reverseproxy.Handler {
	t.Helper()
	h := NewScripted(t, With(policy, Object{"queue": queue}), n, Object{"max_requests": limit})
	t.Cleanup(func() {
		for _, u := range h.Upstreams {
			SetActive(u, 0) // other tests share the hosts
		}
	})
	return h
}

// Outcome is what became of a request that came.
type Outcome struct {
	Picked     string // dial address, or [None]
	RetryAfter string // of the response
}

// Arrive lets a request come, and returns where its outcome is sent. The test runs
// under synctest.
func Arrive(h *reverseproxy.Handler, r *http.Request) <-chan Outcome {
	done := make(chan Outcome, 1)
	go func() {
		w := httptest.NewRecorder()
		u := h.LoadBalancing.SelectionPolicy.Select(h.Upstreams, r, w)
		o := Outcome{None, w.Header().Get("Retry-After")}
		if u != nil {
			o.Picked = u.Dial
		}
		done <- o
	}()
	synctest.Wait()
	return done
}

// ExpectOthersServed has twenty new clients come to upstreams that are idle and take
// one request each at a time. None of them must wait for the hung one.
func ExpectOthersServed(t *testing.T, h *reverseproxy.Handler, hung string) {
	t.Helper()
	for i := range 20 {
		r := NewRequestOf(i)
		done := Arrive(h, r)
		select {
		case got := <-done:
			if got.Picked == None || got.Picked == hung {
				t.Fatalf("client %d: %+v", i, got)
			}
			for _, u := range h.Upstreams {
				if u.Dial == got.Picked {
					Attempt(h, r, u)
				}
			}
		default:
			t.Fatalf("client %d waits, although other upstreams are idle", i)
		}
	}
}
