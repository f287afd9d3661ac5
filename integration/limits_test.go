package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// inFlight returns how many requests Caddy has in flight, to all its upstreams.
func inFlight(t *testing.T) (n int) {
	t.Helper()
	var all []struct {
		Requests int `json:"num_requests"`
	}
	if err := json.Unmarshal(adminGet(t, "/reverse_proxy/upstreams"), &all); err != nil {
		t.Fatal(err)
	}
	for _, u := range all {
		n += u.Requests
	}
	return n
}

// Bursts of requests to two upstreams that are idle: each gets as many as its limit,
// and not one more; the rest is refused. There is no queue.
func TestALimitIsALimit(t *testing.T) {
	if forked(t) {
		return
	}
	const bursts, atOnce = 60, 8
	b := backends(t, "a", "b")
	members.set("limited", b...)
	var open chan struct{}
	served := [2]atomic.Int64{}
	for i := range b {
		b[i].set(func(w http.ResponseWriter, r *http.Request) {
			served[i].Add(1)
			held(open)(w, r)
		})
	}
	one := func(policyName, options string, directives ...string) string {
		return policy(addrs(b...), policyName, options, directives...)
	}
	option := fmt.Sprintf("max_requests 1 %s\nmax_requests 2", b[0].addr)
	for name, test := range map[string]struct {
		site   string
		limits [2]int64
	}{
		"the option":              {one("least_request", option), [2]int64{1, 2}},
		"at random":               {one("weighted_random", option), [2]int64{1, 2}},
		"in turn":                 {one("smooth_weighted_round_robin", option), [2]int64{1, 2}},
		"by hash":                 {one("maglev {uri}", option), [2]int64{1, 2}},
		"Caddy's own policy":      {one("managed least_conn", option), [2]int64{1, 2}},
		"Caddy's limit":           {one("weighted_random", "", "unhealthy_request_count 2"), [2]int64{2, 2}},
		"Caddy's is the lesser":   {one("weighted_random", "max_requests 5", "unhealthy_request_count 1"), [2]int64{1, 1}},
		"Caddy's is the greater":  {one("weighted_random", "max_requests 1", "unhealthy_request_count 5"), [2]int64{1, 1}},
		"two handlers":            {"handle /0* {\n" + one("weighted_random", option) + "\n}\n" + one("least_request", option), [2]int64{1, 2}},
		"upstreams of a source":   {dynamic("weighted_random", "shuffled limited", option), [2]int64{1, 2}},
		"a source, Caddy's limit": {dynamic("weighted_random", "shuffled limited", "", "unhealthy_request_count 2"), [2]int64{2, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			p := run(t, test.site)
			for burst := range bursts {
				open = make(chan struct{})
				answers := make(chan answer, atOnce)
				var refused atomic.Int64
				for i := range atOnce {
					go func() {
						a := p.do(http.MethodGet, fmt.Sprint("/", i%2, burst), "")
						if a.status == http.StatusServiceUnavailable {
							refused.Add(1)
						}
						answers <- a
					}()
				}
				eventually(t, 10*time.Second, "all are served or refused", func() bool {
					return refused.Load()+served[0].Load()+served[1].Load() == atOnce
				})
				got := [2]int64{served[0].Swap(0), served[1].Swap(0)}
				close(open)
				for range atOnce {
					<-answers
				}
				if got != test.limits {
					t.Fatalf("burst %d: %v were served at once, want %v", burst, got, test.limits)
				}
				eventually(t, 10*time.Second, "Caddy counts none", func() bool { return inFlight(t) == 0 })
			}
		})
	}
}

// Whose limit it is that keeps an upstream from a request is in the log.
func TestFullUpstreamsAreLogged(t *testing.T) {
	b := backends(t, "a")
	open := make(chan struct{})
	b[0].set(held(open))
	p := run(t, policy(b[0].addr, "least_request", "max_requests 1"))
	first := make(chan answer, 1)
	go func() { first <- p.get("/") }()
	eventually(t, 5*time.Second, "it is served", func() bool { return b[0].requests.Load() == 1 })
	if a := p.get("/"); a.status != http.StatusServiceUnavailable {
		t.Errorf("one beyond the limit: %v", a)
	}
	if log, want := logs.tail(20), b[0].addr+": full: 1 of max_requests 1 in flight"; !strings.Contains(log, want) {
		t.Errorf("the log has no %q", want)
	}
	close(open)
	if a := <-first; a.status != http.StatusOK {
		t.Errorf("one within the limit: %v", a)
	}
}
