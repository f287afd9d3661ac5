package integration

import (
	"net/http"
	"testing"
	"time"
)

// TestFewRequestsAtFirst has a backend come back that only one request has found to be
// away, so that it was not ejected. It gets 16 requests before its first answer, besides
// the one that has waited for it. The others wait, also where upstreams have limits and
// there is no queue.
func TestFewRequestsAtFirst(t *testing.T) {
	for name, options := range map[string]string{"without limits": "", "with a limit that is not reached": "max_requests 100"} {
		t.Run(name, func(t *testing.T) {
			b := start(t, "a")
			p := run(t, policy(b.addr, "least_request", options))
			p.sequence(1)
			b.stop()
			const asked, atFirst = 40, 16
			answers := make(chan answer, asked)
			ask := func() { answers <- p.get("/") }
			go ask()
			holds(t, 50*time.Millisecond, "it waits", func() bool { return len(answers) == 0 })
			b.requests.Store(0)
			release := make(chan struct{})
			b.set(held(release))
			b.start(t)
			eventually(t, 5*time.Second, "the request that waits goes on", func() bool { return b.requests.Load() == 1 })
			for range asked - 1 {
				go ask()
			}
			few := func() bool {
				n := b.requests.Load()
				return n >= atFirst && n <= atFirst+1 && len(answers) == 0
			}
			eventually(t, 5*time.Second, "it has few requests", few)
			holds(t, 100*time.Millisecond, "the others wait", few)
			close(release)
			for range asked {
				if a := <-answers; a.status != http.StatusOK {
					t.Error(a)
				}
			}
		})
	}
}
