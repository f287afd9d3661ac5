package integration

import (
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// settled is more than what was picked before an ejection needs to arrive.
const settled = 200 * time.Millisecond

// TestWhenABackendIsKilled has one of four killed under load, with nothing but
// the policy: no request may fail, and the dead one, which resets what it accepts, must
// be left alone but for one request after each connection of the plugin.
func TestWhenABackendIsKilled(t *testing.T) {
	if forked(t) {
		return
	}
	t.Run("by default", func(t *testing.T) {
		oneOfFourIsKilled(t, "", func(tries *atomic.Int64, ejection func(int) time.Time) {
			// The plugin connects to it at growing distances, and has one request try it
			// after each connection.
			lasts := atLength(2*time.Second, 30*time.Second)
			holds(t, lasts, "it is nearly left alone", func() bool { return tries.Load() <= 6+2*int64(lasts/time.Second) })
		})
	})
	t.Run("shorter ejections", func(t *testing.T) {
		oneOfFourIsKilled(t, "outlier_detection {\n base_ejection_time 1s\n}", func(tries *atomic.Int64, ejection func(int) time.Time) {
			if ejection(atLength(3, 5)); tries.Load() > atLength[int64](6, 12) {
				t.Errorf("tried %d times in %d ejections, want a connection and a request after each", tries.Load(), atLength(2, 4))
			}
		})
	})
}

// oneOfFourIsKilled watches over how often the dead one is tried once it is
// ejected.
func oneOfFourIsKilled(t *testing.T, options string, watch func(tries *atomic.Int64, ejection func(int) time.Time)) {
	b, c := backends(t, "a", "b", "c"), &child{name: "killed", addr: freeAddr(), takes: 80 * time.Millisecond}
	setAll(b, after(c.takes))
	c.start(t)
	p := run(t, policy(strings.Join([]string{b[0].addr, b[1].addr, b[2].addr, c.addr}, " "), "peak_ewma", options))
	l := p.load(atLength(400, 1600))
	eventually(t, 5*time.Second, "all get traffic", func() bool { return l.answers(c.name) > 20 })
	killed := time.Now()
	c.kill()
	tries := resetAt(t, c.addr)
	ejection := func(n int) time.Time {
		return logs.first(t, time.Minute, "upstream is ejected", "upstream", c.addr, "in_a_row", fmt.Sprint(n))
	}
	ejected := ejection(1)
	l.last(time.Until(ejected.Add(settled)))
	t.Logf("ejected after %s, with %d tries since it was killed", ejected.Sub(killed).Round(time.Millisecond), tries.Swap(0))
	watch(tries, ejection)
	counts := l.stop()
	t.Log(counts, l.history.times())
	if counts.failures() > 0 {
		t.Errorf("requests failed: %v", counts)
	}
}

// resetAt listens at the address, resets all connections, and counts them.
func resetAt(t *testing.T, addr string) *atomic.Int64 {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	count := new(atomic.Int64)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			count.Add(1)
			conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
		}
	}()
	return count
}
