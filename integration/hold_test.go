package integration

import (
	"fmt"

	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

// inUse returns the memory of live objects and of stacks.
func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// Thousands of requests wait for an upstream. The test says what each costs besides its
// connection and what Caddy needs for it, and that nothing is left of them.
func TestMemoryOfHeldRequests(t *testing.T) {
	if forked(t) {
		return
	}
	requests := atLength(500, 4000)
	b := newBackend("a")
	p := run(t, policy(b.addr, "least_request", "hold 1m 10000"))
	clients := make([]net.Conn, requests)
	ask := func(c net.Conn) { fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n") }
	read := func(c net.Conn) string {
		buffer := make([]byte, 4096)
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		n, _ := c.Read(buffer)
		return string(buffer[:n])
	}
	before := inUse()
	goroutines := runtime.NumGoroutine()
	for i := range clients {
		c, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		clients[i] = c
		ask(c)
	}
	waiting := `held_requests{pool="least_request@` + b.addr + `"}`
	eventually(t, 20*time.Second, "all wait", func() bool { return int(metric(t, waiting)) == requests })
	holding := inUse()
	b.start(t)
	answered := 0
	for _, c := range clients {
		if strings.HasPrefix(read(c), "HTTP/1.1 200") {
			answered++
		}
	}
	if answered != requests {
		t.Errorf("%d of %d were answered", answered, requests)
	}
	idle := inUse()
	t.Logf("%d requests: each takes %d bytes while it waits; an idle connection, %d",
		requests, (holding-before)/uint64(requests), (idle-before)/uint64(requests))
	for _, c := range clients {
		c.Close()
	}
	b.stop() // its idle connections have goroutines, too
	p.client.CloseIdleConnections()
	eventually(t, 20*time.Second, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= goroutines+20 })
}

// Requests that wait for a check, since its verdict is never to be ignored, go on when it
// passes, after a reload, too.
func TestReloadEndsNoWaitForACheck(t *testing.T) {
	b := start(t, "a")
	b.setHealth(status(http.StatusServiceUnavailable))
	site := policy(b.addr, "least_request", "panic_threshold 0\nhold 20s\nhealth_check http "+healthPath+" {\n interval 100ms\n passes 1\n fails 1\n}")
	p := run(t, site)
	eventually(t, 5*time.Second, "it is unhealthy", func() bool { return b.probes.Load() > 2 })
	answers := make(chan answer, 10)
	for range cap(answers) {
		go func() { answers <- p.get("/") }()
	}
	eventually(t, 5*time.Second, "they wait", func() bool { return metric(t, `held_requests{pool="least_request@`+b.addr+`"}`) == 10 })
	for n := range 3 {
		p.reload(site + fmt.Sprintf("\n# %d", n))
	}
	if n := metric(t, `held_requests{pool="least_request@`+b.addr+`"}`); n != 10 {
		t.Errorf("%v requests are told to wait after reloads, want 10", n)
	}
	b.setHealth(ok)
	began := time.Now()
	for range cap(answers) {
		if a := <-answers; a.status != http.StatusOK {
			t.Errorf("%v", a)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("they went on %v after the check has passed", took)
	}
}

// Ten thousand upstreams are down. Requests fail fast all the same, and cheaply.
func TestManyUpstreamsDown(t *testing.T) {
	if forked(t) {
		return
	}
	if !*long {
		t.Skip("long")
	}
	var list []string
	for i := range 10_000 {
		list = append(list, fmt.Sprintf("127.1.%d.%d:9", i/250, i%250+1))
	}
	p := run(t, policy(strings.Join(list, " "), "weighted_random", ""))
	l := p.load(500)
	for range 6 {
		cpu := processorTime(t)
		l.last(5 * time.Second)
		t.Logf("processor time %v of 5s, memory %d MB", processorTime(t)-cpu, inUse()>>20)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.history)
	t.Logf("%v; the last thousand: %v", l.counts, l.history[n-1000:].times())
}

// A request that has waited in vain is tried again for as long as lb_try_duration says.
func TestRequestThatWaitedInVainIsTriedAgain(t *testing.T) {
	b := newBackend("a")
	p := run(t, policy(b.addr, "least_request", "hold 200ms", "lb_try_duration 20s\nlb_try_interval 20ms"))
	answered := make(chan answer)
	go func() { answered <- p.get("/") }()
	eventually(t, 5*time.Second, "the request has waited in vain", func() bool { return logs.count("no upstream left") > 0 })
	b.start(t)
	if a := <-answered; a.status != http.StatusOK {
		t.Errorf("%v, want the answer of the upstream that came back", a)
	}
	if lines := logs.find("all upstreams are down: requests wait"); len(lines) != 1 || !strings.Contains(lines[0]["upstreams"], "connection refused") {
		t.Errorf("logged %v, want one line that says why", lines)
	}
}
