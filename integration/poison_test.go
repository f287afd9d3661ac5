package integration

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// poisonPath is what no backend answers: the application dies of it.
const poisonPath = "/poison"

// TestPoisonEjectsNone has a client send requests that make any upstream drop
// the connection without an answer, beside those of others: the others must not
// notice, and no upstream is to blame.
func TestPoisonEjectsNone(t *testing.T) {
	if forked(t) {
		return
	}
	for _, name := range []string{"smooth_weighted_round_robin", "least_request", "peak_ewma", "sticky"} {
		t.Run(name, func(t *testing.T) {
			b := backends(t, "a", "b", "c", "d")
			setAll(b, func(w http.ResponseWriter, r *http.Request) {
				if strings.HasPrefix(r.URL.Path, poisonPath) {
					drop(w, r)
				}
				ok(w, r)
			})
			p := run(t, policy(addrs(b...), name, ""))
			l := p.load(100)
			l.awaitMore(t, 20)
			poisoned := p.send(atLength(300, 1000), 10, func(int) answer { return p.do(http.MethodGet, poisonPath, "") })
			l.awaitMore(t, 50)
			expectNoFailure(t, l.stop())
			for _, a := range poisoned {
				if a.err != nil || a.status != http.StatusBadGateway {
					t.Fatalf("poison was answered: %v", a)
				}
			}
			if n := logs.count("upstream is ejected"); n != 0 {
				t.Errorf("%d ejections: %v", n, logs.find("upstream is ejected")[0])
			}
		})
	}
}

// send has n requests made, some of them at a time, and returns what came of them.
func (p *proxy) send(n, atATime int, request func(i int) answer) []answer {
	answers := make([]answer, n)
	var clients sync.WaitGroup
	slots := make(chan struct{}, atATime)
	ticker := time.NewTicker(2 * time.Millisecond) // 500 a second at most
	defer ticker.Stop()
	for i := range answers {
		slots <- struct{}{}
		<-ticker.C
		clients.Go(func() {
			defer func() { <-slots }()
			answers[i] = request(i)
		})
	}
	clients.Wait()
	return answers
}
