package integration

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
)

// Over HTTP/2, too, a failed request is tried elsewhere, and served once.
func TestRetriesOverHTTP2(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		t.Run(method, func(t *testing.T) {
			b := []*backend{newBackend("resets"), newBackend("dead"), newBackend("alive")}
			var mu sync.Mutex
			served := make(map[string]int)
			for _, b := range b {
				b.protocols = new(http.Protocols)
				b.protocols.SetUnencryptedHTTP2(true)
				b.start(t)
			}
			b[0].set(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.CopyN(io.Discard, r.Body, 1000)
				drop(w, r)
			})
			b[1].stop()
			b[2].set(func(w http.ResponseWriter, r *http.Request) {
				text, err := io.ReadAll(r.Body)
				if err != nil || int64(len(text)) != max(r.ContentLength, 0) {
					t.Errorf("%d bytes of %d, %v", len(text), r.ContentLength, err)
				}
				mu.Lock()
				served[r.Header.Get(clientHeader)]++
				mu.Unlock()
				ok(w, r)
			})
			p := run(t, policy(addrs(b...), "smooth_weighted_round_robin", "", "request_buffers 1MB",
				"lb_retry_match {\n method GET POST\n}", "transport http {\n versions h2c\n}"))
			for i, a := range p.send(100, 8, func(i int) answer {
				body := ""
				if method == http.MethodPost {
					body = bodyOf("text", 200<<10)
				}
				return p.do(method, "/", body, clientHeader, fmt.Sprint(i))
			}) {
				if a.err != nil || a.from() != "alive" {
					t.Errorf("request %d: %v", i, a)
				}
				if n := served[fmt.Sprint(i)]; n != 1 {
					t.Errorf("request %d was served %d times", i, n)
				}
			}
		})
	}
}
