package integration

import (
	"fmt"
	"io"
	"net/http"
	"testing"
)

// TestBodiesDoNotMixInsideCaddysPolicies has one of Caddy's own policies pick, which
// has one of ours only for requests without its header. The retries are ours.
func TestBodiesDoNotMixInsideCaddysPolicies(t *testing.T) {
	total := atLength(250, 1000)
	b := backends(t, "a", "b")
	var seen received
	for _, b := range b {
		b.set(func(w http.ResponseWriter, r *http.Request) {
			if b.requests.Load()%2 == 0 {
				seen.read(r, 6<<10)
				drop(w, r)
			}
			if !seen.read(r, 0) {
				drop(w, r)
			}
			io.WriteString(w, r.Header.Get(clientHeader))
		})
	}
	p := run(t, fmt.Sprintf(`reverse_proxy %s {
		lb_policy header %s {
			fallback weighted_random
		}
		request_buffers 4KB
	}`, addrs(b...), clientHeader))
	for i, a := range p.send(total, 16, func(i int) answer {
		client := fmt.Sprint("client-", i)
		return p.do(http.MethodGet, "/", bodyOf(client, 64<<10), clientHeader, client)
	}) {
		if a.err == nil && a.status != http.StatusBadGateway && a.body != fmt.Sprint("client-", i) {
			t.Fatalf("client %d got %v", i, a)
		}
	}
	if n := seen.mixed.Load(); n > 0 {
		t.Errorf("%d of %d bodies arrived mixed with another client's", n, total)
	}
}
