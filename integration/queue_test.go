package integration

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestAQueueIsServedInOrderWithoutLosingTime(t *testing.T) {
	if forked(t) {
		return
	}
	const slots, takes = 4, 50 * time.Millisecond
	b := backends(t, "a", "b")
	open := make(chan struct{})
	var arrived order
	setAll(b, func(w http.ResponseWriter, r *http.Request) {
		arrived.note(r.URL.Path)
		<-open
		after(takes)(w, r)
	})
	total, atOnce := atLength(240, 1000), slots*len(b)
	c := queueing(t, b, slots, fmt.Sprint(total))
	c.fill(atOnce, total/2-atOnce)
	began := time.Now()
	close(open)
	for ticker := time.NewTicker(2 * time.Millisecond); len(c.answers) < total; <-ticker.C {
		c.send() // who comes now must not get in before the others
	}
	for n := range total {
		a := c.answer(n, 20*time.Second)
		waited, err := strconv.ParseFloat(a.header.Get("X-Wait"), 64)
		if a.status != http.StatusOK || (err == nil) != (n >= atOnce) {
			t.Fatalf("request %d: %v, has waited %q ms", n, a, a.header.Get("X-Wait"))
		}
		if least := float64(n/atOnce-1) * 50; n < total/2 && waited < least {
			t.Errorf("request %d has waited %v ms, want %v at least", n, waited, least)
		}
	}
	took, ideal := time.Since(began), time.Duration(total/atOnce)*takes
	t.Logf("%d requests in %s, ideally %s (%+.1f %%)", total, took, ideal, 100*(float64(took)/float64(ideal)-1))
	if *long && took > ideal*11/10 { // a measurement, for a machine that does nothing else
		t.Errorf("%d requests took %s, want %s and at most a tenth more", total, took, ideal)
	}
	farthest := 0
	for place, path := range arrived.path {
		n, _ := strconv.Atoi(path[1:])
		farthest = max(farthest, place-n, n-place)
	}
	t.Logf("no request came farther than %d places from its own", farthest)
	if farthest > 2*atOnce { // as many may be on their way to and from the queue at the same time
		t.Errorf("a request came %d places from its own", farthest)
	}
}

func TestWhoFindsTheQueueFullIsRefusedAtOnce(t *testing.T) {
	b := backends(t, "a")
	open := make(chan struct{})
	b[0].set(held(open))
	c := queueing(t, b, 1, "2")
	full := refused(t, "full")
	c.fill(1, 2)
	for n := range 3 {
		c.send()
		c.expect(3+n, http.StatusServiceUnavailable, time.Second)
	}
	if n := refused(t, "full") - full; n != 3 {
		t.Errorf("%v are counted as refused, want 3", n)
	}
	close(open)
	for n := range 3 {
		c.expect(n, http.StatusOK, 5*time.Second)
	}
	if n := b[0].requests.Load(); n != 3 {
		t.Errorf("the backend got %d requests, want 3", n)
	}
}

func TestWaitingInAQueueTimesOut(t *testing.T) {
	b := backends(t, "a")
	open := make(chan struct{})
	b[0].set(held(open))
	c := queueing(t, b, 1, "10 300ms")
	c.fill(1, 0)
	began := time.Now()
	c.send()
	c.send() // behind it
	c.expect(1, http.StatusServiceUnavailable, 5*time.Second)
	c.expect(2, http.StatusServiceUnavailable, 5*time.Second)
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("refused after %s already", took)
	}
	if n := queued(t); n != 0 {
		t.Errorf("%v are still in the queue", n)
	}
	close(open)
	c.expect(0, http.StatusOK, 5*time.Second)
}

func TestAClientThatLeavesTheQueueFreesItsPlace(t *testing.T) {
	b := backends(t, "a")
	open := make(chan struct{})
	b[0].set(held(open))
	c := queueing(t, b, 1, "2")
	c.fill(1, 0)
	patient := c.p.client
	hasty := *patient
	hasty.Timeout = 300 * time.Millisecond
	c.p.client = &hasty
	c.send()
	c.send()
	if first, second := c.answer(1, 5*time.Second), c.answer(2, 5*time.Second); first.err == nil || second.err == nil {
		t.Fatalf("they should have given up: %v, %v", first, second)
	}
	eventually(t, 2*time.Second, "their places are free", func() bool { return queued(t) == 0 })
	c.p.client = patient
	c.send()
	eventually(t, 2*time.Second, "another waits", func() bool { return queued(t) == 1 })
	close(open)
	c.expect(0, http.StatusOK, 5*time.Second)
	c.expect(3, http.StatusOK, 5*time.Second)
	if n := b[0].requests.Load(); n != 2 {
		t.Errorf("the backend got %d requests, want 2", n)
	}
}

func TestAReloadEndsNoWaitInAQueue(t *testing.T) {
	b := backends(t, "a")
	open := make(chan struct{})
	b[0].set(held(open))
	c := queueing(t, b, 1, "20")
	c.fill(1, 10)
	c.p.reload(policy(b[0].addr, "least_request", "queue 20", "unhealthy_request_count 1"))
	if n := queued(t); n != 10 {
		t.Errorf("%v are still in the queue, want 10", n)
	}
	close(open)
	for n := range 11 {
		c.expect(n, http.StatusOK, 5*time.Second)
	}
	if n := queued(t); n != 0 {
		t.Errorf("%v are still in the queue", n)
	}
	if a := c.p.get("/"); a.status != http.StatusOK {
		t.Errorf("after the reload: %v", a)
	}
}

func TestAQueueSeesRoomThatAnotherHandlerMakes(t *testing.T) {
	b := backends(t, "a")
	open := make(chan struct{})
	b[0].set(held(open))
	one := policy(b[0].addr, "least_request", "queue 10", "unhealthy_request_count 1")
	other := policy(b[0].addr, "weighted_random", "", "unhealthy_request_count 1")
	c := &crowd{t: t, b: b}
	c.p = run(t, "handle /0 {\n"+other+"\n}\n handle {\n"+one+"\n}")
	c.fill(1, 2)
	close(open)
	for n := range 3 {
		c.expect(n, http.StatusOK, 5*time.Second)
	}
}

// A strict session that waits for its upstream, and a retry that waits for the last
// one that it has not tried, hold up nobody whom others can serve.
func TestWhoWaitsForOneUpstreamHoldsUpNobodyElse(t *testing.T) {
	b := backends(t, "a", "b", "c")
	setAll(b[1:], func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Fails") != "" {
			drop(w, r)
		}
		ok(w, r)
	})
	site := policy(addrs(b...), "sticky lb", `strict
		secret 0123456789abcdef0123456789abcdef
		queue 50
		max_requests 1
		outlier_detection off`)
	for name, header := range map[string][]string{"a strict session": nil, "a retry": {"X-Fails", "1"}} {
		t.Run(name, func(t *testing.T) {
			b[0].set(ok)
			p := run(t, site)
			var session []string
			eventually(t, 5*time.Second, "a session", func() bool {
				a := p.get("/")
				cookie, _, _ := strings.Cut(a.header.Get("Set-Cookie"), ";")
				session = []string{"Cookie", cookie}
				return a.from() == "a"
			})
			if header == nil {
				header = session
			}
			open, reached := make(chan struct{}), b[0].requests.Load()
			b[0].set(held(open))
			hung, waiting := make(chan answer, 1), make(chan answer, 1)
			go func() { hung <- p.get("/", session...) }()
			eventually(t, 5*time.Second, "the first is full", func() bool { return b[0].requests.Load() > reached })
			go func() { waiting <- p.get("/", header...) }()
			eventually(t, 5*time.Second, "one waits", func() bool { return metric(t, `queue_length{pool="sticky@`+b[0].addr+`"}`) == 1 })
			for n := range 20 {
				if a := p.get("/"); a.status != http.StatusOK || a.from() == "a" {
					t.Fatalf("client %d: %v", n, a)
				}
			}
			close(open)
			for _, got := range []chan answer{hung, waiting} {
				if a := <-got; a.status != http.StatusOK || a.from() != "a" {
					t.Errorf("it should have been served by a: %v", a)
				}
			}
		})
	}
}
