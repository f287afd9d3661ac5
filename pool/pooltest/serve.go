package pooltest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// Attempt has the handler's transport make an attempt for the request.
func Attempt(h *reverseproxy.Handler, r *http.Request, u *reverseproxy.Upstream) {
	if res, err := h.Transport.RoundTrip(Directed(r, u)); err == nil {
		res.Body.Close()
	}
}

// RoundTrip is an attempt that is answered.
func RoundTrip(t *testing.T, h *reverseproxy.Handler, r *http.Request, u *reverseproxy.Upstream) *http.Response {
	t.Helper()
	res, err := h.Transport.RoundTrip(Directed(r, u))
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// Serve has one pick and one attempt made for the request, and returns the dial
// address; [None] where no upstream was picked.
func Serve(h *reverseproxy.Handler, r *http.Request) string {
	u := h.LoadBalancing.SelectionPolicy.Select(h.Upstreams, r, nil)
	if u == nil {
		return None
	}
	Attempt(h, r, u)
	return u.Dial
}

// ServeCounted is [Serve] with a response, and has the upstream counted as active
// meanwhile, as Caddy does.
func ServeCounted(h *reverseproxy.Handler, r *http.Request, w http.ResponseWriter) string {
	u := h.LoadBalancing.SelectionPolicy.Select(h.Upstreams, r, w)
	if u == nil {
		return None
	}
	AddActive(u, 1)
	Attempt(h, r, u)
	AddActive(u, -1)
	return u.Dial
}

// ServeAtOnce has n requests served at the same time, and does not wait for them.
func ServeAtOnce(t *testing.T, wg *sync.WaitGroup, h *reverseproxy.Handler, n int) {
	for range n {
		wg.Go(func() {
			if Serve(h, NewRequest()) == None {
				t.Error("nothing picked")
			}
		})
	}
	synctest.Wait()
}

// ServeWithRetries has the handler serve a request of this method from start to end,
// retries included. It returns where its attempts went, in turn, and the error with
// which it failed.
func ServeWithRetries(h *reverseproxy.Handler, method string) (addresses []string, err error) {
	r := ServerRequest("/")
	r.Method = method
	r = r.WithContext(context.WithValue(r.Context(), visitedKey{}, &addresses))
	r, end := WithEnd(r)
	err = h.ServeHTTP(httptest.NewRecorder(), r, nil)
	end()
	return addresses, err
}

// visitedKey is where a request's context has the list of its attempts.
type visitedKey struct{}

// ServeInTurn is [ServeWithRetries] for requests that come one after another: it waits
// until the end of the request has been noticed. The test runs under synctest.
func ServeInTurn(h *reverseproxy.Handler, method string) (addresses []string, answered bool) {
	addresses, err := ServeWithRetries(h, method)
	synctest.Wait()
	return addresses, err == nil
}

// Crowd counts how many requests are with an upstream at a time.
type Crowd struct{ now, most atomic.Int32 }

// Take is to answer 200 after some time, and to be counted.
func (c *Crowd) Take(d time.Duration) Act {
	return func(r *http.Request) (*http.Response, error) {
		n := c.now.Add(1)
		defer c.now.Add(-1)
		for most := c.most.Load(); n > most && !c.most.CompareAndSwap(most, n); {
			most = c.most.Load()
		}
		return Take(d)(r)
	}
}

// Most returns the most at a time.
func (c *Crowd) Most() int { return int(c.most.Load()) }
