package integration

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"
)

// crowd is requests that are made one by one, each when the one before has come
// to its place: at a backend, or in the queue.
type crowd struct {
	t       *testing.T
	p       *proxy
	b       []*backend
	answers []chan answer
}

// queueing starts backends that take the given number of requests at a time each,
// with a queue before them.
func queueing(t *testing.T, backs []*backend, slots int, queue string, directives ...string) *crowd {
	t.Helper()
	site := policy(addrs(backs...), "least_request", "queue "+queue, append(directives,
		fmt.Sprint("unhealthy_request_count ", slots), "header_down X-Wait {http.load_balancer.queue_wait_ms}")...)
	return &crowd{t: t, p: run(t, site), b: backs}
}

func queued(t *testing.T) float64 {
	t.Helper()
	return total(t, "queue_length{", `pool="least_request@`)
}

func refused(t *testing.T, reason string) float64 {
	t.Helper()
	return total(t, "queue_refused_total{", `pool="least_request@`, `reason="`+reason+`"`)
}

// send makes the next request, which asks for its number.
func (c *crowd) send() {
	path, got := fmt.Sprint("/", len(c.answers)), make(chan answer, 1)
	c.answers = append(c.answers, got)
	go func() { got <- c.p.do(http.MethodGet, path, "") }()
}

// fill makes so many requests that reach a backend, and then so many that wait.
func (c *crowd) fill(served, waiting int) {
	c.t.Helper()
	for n := range served {
		c.send()
		eventually(c.t, 5*time.Second, "at a backend", func() bool {
			reached := 0
			for _, b := range c.b {
				reached += int(b.requests.Load())
			}
			return reached == n+1
		})
	}
	for n := range waiting {
		c.send()
		eventually(c.t, 5*time.Second, "in the queue", func() bool { return queued(c.t) == float64(n+1) })
	}
}

// answer returns what came of the n-th request; it must come in time.
func (c *crowd) answer(n int, within time.Duration) answer {
	c.t.Helper()
	select {
	case a := <-c.answers[n]:
		return a
	case <-time.After(within):
		c.t.Fatalf("request %d: nothing after %s", n, within)
		return answer{}
	}
}

// expect expects the n-th request to be answered with the given status in time,
// and a refused one to be told when to come again.
func (c *crowd) expect(n, status int, within time.Duration) {
	c.t.Helper()
	a := c.answer(n, within)
	if a.status != status {
		c.t.Errorf("request %d: %v, want %d", n, a, status)
	}
	if again := a.header.Get("Retry-After"); (again != "") != (status == http.StatusServiceUnavailable) {
		c.t.Errorf("request %d: %v with Retry-After %q", n, a, again)
	}
}

// order is who came when.
type order struct {
	mu   sync.Mutex
	path []string
}

func (o *order) note(path string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.path = append(o.path, path)
}
