//go:build unix

package healthcheck

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
)

// BenchmarkConnectionsRefused reports what 10,000 upstreams that are down cost, at the
// bound of connections a second: the processor time of this machine's both ends, so
// that the upstreams' part is in it.
func BenchmarkConnectionsRefused(b *testing.B) {
	p := newLosing(b).start()
	rt := new(reverseproxy.HTTPTransport)
	if err := rt.Provision(caddyContext(b)); err != nil {
		b.Fatal(err)
	}
	c, err := NewConnector(rt)
	if err != nil {
		b.Fatal(err)
	}
	for i := range 10_000 {
		p.group.Reconnect(Reconnection{
			Dialled: fmt.Sprintf("127.1.%d.%d:1", i/250, 1+i%250), Connector: c, Since: instant.Now(),
			Hurry: func() bool { return true }, Reached: func() { b.Error("reached") },
		})
	}
	time.Sleep(time.Second) // the beginning is not measured
	made := func() int {
		monitor.mu.Lock()
		defer monitor.mu.Unlock()
		return p.group.lost.number
	}
	began, before, first := time.Now(), processorTime(b), made()
	for b.Loop() {
		time.Sleep(time.Second)
	}
	seconds := time.Since(began).Seconds()
	b.ReportMetric((processorTime(b)-before).Seconds()*1000/seconds, "cpu-ms/s")
	b.ReportMetric(float64(made()-first)/seconds, "connections/s")
	b.ReportMetric(float64(runtime.NumGoroutine()), "goroutines")
}

// processorTime returns how much of it the process has used.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
