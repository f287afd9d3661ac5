package pooltest

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing/synctest"
	"unsafe"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// None stands for a pick of no upstream.
const None = "none"

// Pick has the handler's policy pick for the request, and returns the dial address;
// [None] if it picks no upstream.
func Pick(h *reverseproxy.Handler, upstreams []*reverseproxy.Upstream, r *http.Request) string {
	if u := h.LoadBalancing.SelectionPolicy.Select(upstreams, r, nil); u != nil {
		return u.Dial
	}
	return None
}

// Picks counts n picks by dial address, those of no upstream under [None]. The
// requests go on.
func Picks(h *reverseproxy.Handler, upstreams []*reverseproxy.Upstream, n int) map[string]int {
	counts := make(map[string]int)
	for range n {
		counts[Pick(h, upstreams, NewRequest())]++
	}
	return counts
}

// Choice returns the upstream that a request would meet now. The request ends without
// an attempt. The test runs under synctest.
func Choice(h *reverseproxy.Handler) string {
	r, end := WithEnd(NewRequest())
	defer synctest.Wait()
	defer end()
	return Pick(h, h.Upstreams, r)
}

// PicksOfClients counts the picks for a request of each of n clients by dial address.
// The requests go on.
func PicksOfClients(h *reverseproxy.Handler, n int) map[string]int {
	counts, _ := HeldPicks(h, n)
	return counts
}

// HeldPicks is [PicksOfClients] with requests that end together. The test runs under
// synctest.
func HeldPicks(h *reverseproxy.Handler, n int) (counts map[string]int, end func()) {
	counts = make(map[string]int)
	ends := make([]context.CancelFunc, n)
	for client := range n {
		var r *http.Request
		r, ends[client] = WithEnd(NewRequestOf(client))
		counts[Pick(h, h.Upstreams, r)]++
	}
	return counts, func() {
		for _, end := range ends {
			end()
		}
		synctest.Wait()
	}
}

// Sum adds up the counts of the upstreams from the first number to before the last.
func Sum(counts map[string]int, from, to int) (n int) {
	for i := from; i < to; i++ {
		n += counts[Dial(i)]
	}
	return n
}

// SetActive sets how many requests Caddy counts for an upstream, which only Caddy
// can: the number is the first field of its Host.
func SetActive(u *reverseproxy.Upstream, requests int64) { active(u).Store(requests) }

// AddActive changes how many requests Caddy counts for an upstream.
func AddActive(u *reverseproxy.Upstream, change int64) { active(u).Add(change) }

func active(u *reverseproxy.Upstream) *atomic.Int64 { return (*atomic.Int64)(unsafe.Pointer(u.Host)) }
