package selectors

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// newClients has twenty new clients come to two upstreams that are idle and take one
// request each at a time. They must not wait for a third, which is hung.
func newClients(t *testing.T, h *reverseproxy.Handler, hung string) {
	t.Helper()
	for i := range 20 {
		r := newRequestOf(i)
		done := come(h, r)
		select {
		case got := <-done:
			if got.picked == none || got.picked == hung {
				t.Fatalf("client %d: %+v", i, got)
			}
			for _, u := range h.Upstreams {
				if u.Dial == got.picked {
					attempt(h, r, u)
				}
			}
		default:
			t.Fatalf("client %d waits, although two upstreams are idle", i)
		}
	}
}

func TestStrictSessionBlocksNobodyElse(t *testing.T) {
	forWays(t, func(t *testing.T, open opener) {
		h := open(3, object{"strict": true, "queue": object{"length": 50, "timeout": "10s"}}, object{"max_requests": 1})
		b := settled(t, h, dial(0))
		u := h.Upstreams[0]
		defer busy(u, 0)
		busy(u, 1)
		first := visits(t, h, b)
		second := visits(t, h, b.clone())
		newClients(t, h, dial(0))
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if len(first)+len(second) > 0 {
			t.Fatal("the upstream is full, and its sessions do not wait")
		}
		newClients(t, h, dial(0))
		busy(u, 0)
		if got := <-first; got.by != dial(0) {
			t.Errorf("there is room for the first: %+v", got)
		}
		if got := <-second; got.by != dial(0) {
			t.Errorf("there is room for the second: %+v", got)
		}
	})
}

func TestRetryBlocksNobodyElse(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := queued(t, with(config, object{"outlier_detection": object{"off": true}}), object{"length": 50, "timeout": "10s"}, 3, 1)
		// A request has failed on the first two, and the third is full.
		r := newRequest()
		busy(h.Upstreams[2], 1)
		for range 2 {
			u := h.LoadBalancing.SelectionPolicy.Select(h.Upstreams, r, nil)
			if u == nil || u == h.Upstreams[2] {
				t.Fatalf("picked %v", u)
			}
			play(u.Dial, func(*http.Request) (*http.Response, error) { return nil, fmt.Errorf("reset") })
			attempt(h, r, u)
			play(u.Dial, nil)
		}
		waiting := come(h, r)
		if len(waiting) > 0 {
			t.Fatalf("it does not wait: %+v", <-waiting)
		}
		newClients(t, h, dial(2))
		busy(h.Upstreams[2], 0)
		if got := <-waiting; got.picked != dial(2) {
			t.Errorf("there is room for who has waited: %+v", got)
		}
	})
}
