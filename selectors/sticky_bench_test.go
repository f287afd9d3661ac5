package selectors

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// BenchmarkSticky compares requests of a session that is known with Caddy's own
// policies of the same role, in one run:
//
//	go test -run '^$' -bench Sticky ./selectors
func BenchmarkSticky(b *testing.B) {
	for _, n := range []int{4, 16, 128, 1024, 10_000} {
		for _, way := range []string{"cookie", "header", "learned", "routed", "caddys cookie", "caddys ip_hash"} {
			b.Run(fmt.Sprintf("upstreams=%d/way=%s", n, way), func(b *testing.B) {
				h := benched(b, way, n)
				selector, first := h.LoadBalancing.SelectionPolicy, known(b, h, way, n/2)
				b.ReportAllocs()
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					r, w := first.Clone(first.Context()), &discard{make(http.Header)}
					for pb.Next() {
						if selector.Select(h.Upstreams, r, w) == nil {
							b.Error("no upstream")
						}
					}
					if len(w.header) > 0 {
						b.Error("the session was not known")
					}
				})
			})
		}
	}
}

// BenchmarkStickyAlone is a request with a valid cookie, one at a time.
func BenchmarkStickyAlone(b *testing.B) {
	for _, n := range []int{4, 10_000} {
		b.Run(fmt.Sprintf("upstreams=%d", n), func(b *testing.B) {
			h := benched(b, "cookie", n)
			selector := h.LoadBalancing.SelectionPolicy
			r, w := known(b, h, "cookie", n/2), &discard{make(http.Header)}
			b.ReportAllocs()
			for b.Loop() {
				if selector.Select(h.Upstreams, r, w) == nil {
					b.Fatal("no upstream")
				}
			}
		})
	}
}

// benched provisions the handler of a benchmark.
func benched(b *testing.B, way string, n int) *reverseproxy.Handler {
	switch way {
	case "caddys cookie":
		return pooltest.NewHandler(b, object{"policy": "cookie", "secret": secret}, n)
	case "caddys ip_hash":
		return pooltest.NewHandler(b, object{"policy": "ip_hash"}, n)
	}
	return pooltest.NewHandler(b, sticky(ways[way](n)), n)
}

// known returns a request of a session that is with the i-th upstream.
func known(b *testing.B, h *reverseproxy.Handler, way string, i int) *http.Request {
	r, token := pooltest.NewRequest(), signer{[]byte(secret)}.token(pooltest.Dial(i))
	set := func(cookie string) { r.Header.Set("Cookie", "_ga=GA1.1.1234567890.1234567890; "+cookie+"; theme=dark") }
	switch way {
	case "cookie":
		set("lb=" + token)
	case "header":
		r.Header.Set(field, token)
	case "learned":
		h.LoadBalancing.SelectionPolicy.(*Sticky).learned.learn([]string{"SID=0123456789abcdef"}, pooltest.Dial(i), nil)
		set("SID=0123456789abcdef")
	case "routed":
		set(fmt.Sprint("SID=0123456789abcdef.r", i))
	case "caddys cookie":
		w := &discard{make(http.Header)}
		for range 1_000_000 {
			if u := h.LoadBalancing.SelectionPolicy.Select(h.Upstreams, pooltest.NewRequest(), w); u == h.Upstreams[i] {
				set((&http.Response{Header: w.header}).Cookies()[0].String())
				return r
			}
			clear(w.header)
		}
		b.Error("the upstream is never picked")
	}
	return r
}
