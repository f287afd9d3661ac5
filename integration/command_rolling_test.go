package integration

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// upgrading serves sockets for backends, and closes those of a backend that stops, as its
// process would.
type upgrading struct {
	mu   sync.Mutex                   // guards open
	open map[string]map[net.Conn]bool // by the backend's name
}

func (u *upgrading) serve(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") == "" {
		working(w, r)
		return
	}
	name := w.Header().Get(nameHeader)
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	u.mu.Lock()
	if u.open[name] == nil {
		u.open[name] = make(map[net.Conn]bool)
	}
	u.open[name][conn] = true
	u.mu.Unlock()
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n%s: %s\r\n\r\n", nameHeader, name)
	io.Copy(conn, rw)
	u.mu.Lock()
	delete(u.open[name], conn)
	u.mu.Unlock()
	conn.Close()
}

// stop closes what is open to the backend, and returns how many those are.
func (u *upgrading) stop(name string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	for conn := range u.open[name] {
		conn.Close()
	}
	return len(u.open[name])
}

// visitors keep sockets open: each one uses his for a while, closes it, and opens another.
type visitors struct {
	quit    chan struct{}
	stopped sync.WaitGroup

	open, opened, words atomic.Int64

	mu   sync.Mutex     // guards lost
	lost map[string]int // sockets that ended before their visitors wanted to, or did not open, by error
}

// visit has n visitors, who keep a socket for about the time.
func (p *proxy) visit(t *testing.T, n int, stay time.Duration) *visitors {
	v := &visitors{quit: make(chan struct{}), lost: make(map[string]int)}
	for range n {
		v.stopped.Go(func() {
			for {
				select {
				case <-v.quit:
					return
				default:
				}
				if err := v.use(p, stay/2+rand.N(stay)); err != nil {
					v.mu.Lock()
					v.lost[err.Error()]++
					v.mu.Unlock()
				}
			}
		})
	}
	eventually(t, 20*time.Second, "all sockets are open", func() bool { return v.open.Load() == int64(n) })
	return v
}

// use opens a socket, and talks by it for the time.
func (v *visitors) use(p *proxy, stay time.Duration) error {
	s, err := p.tryConnect("")
	if err != nil {
		return fmt.Errorf("opening: %w", err)
	}
	defer s.Close()
	v.opened.Add(1)
	v.open.Add(1)
	defer v.open.Add(-1)
	began, n := time.Now(), 0
	for ; time.Since(began) < stay; n++ {
		s.SetDeadline(time.Now().Add(30 * time.Second)) // of a word, not of the whole socket
		if got := s.echo("still here"); got != "still here" {
			return fmt.Errorf("open to %s since %s, after %d words: %s", s.from, time.Since(began), n, got)
		}
		v.words.Add(1)
		select {
		case <-time.After(min(100*time.Millisecond, stay-time.Since(began))):
		case <-v.quit:
			return nil
		}
	}
	return nil
}

// stop has all leave, and returns what was lost.
func (v *visitors) stop() map[string]int {
	close(v.quit)
	v.stopped.Wait()
	return maps.Clone(v.lost)
}

// TestRollingRestartByCommand restarts four backends, one after the other: drained by the
// command, which waits, stopped, started, and ready again. Nothing fails under load, and
// no socket is cut, though nothing else protects them: no retry, no hold, no ejection.
func TestRollingRestartByCommand(t *testing.T) {
	t.Parallel()
	for _, name := range atLength([]string{"smooth_weighted_round_robin"}, []string{"smooth_weighted_round_robin", "least_request", "peak_ewma", "maglev {path}"}) {
		t.Run(name, func(t *testing.T) {
			if forked(t) {
				return
			}
			rate, stay := atLength(100, 300), atLength(time.Second, 8*time.Second)
			const sockets = 200
			b := backends(t, "a", "b", "c", "d")
			u := &upgrading{open: make(map[string]map[net.Conn]bool)}
			setAll(b, u.serve)
			p := run(t, policy(addrs(b...), name, "name web\nretries 0\nhold off\noutlier_detection off"))
			config := caddy.ActiveContext().Context
			v, l := p.visit(t, sockets, stay), p.load(rate)
			l.awaitMore(t, rate/2)
			var drains []string
			cut := 0
			for _, restarted := range b {
				began := time.Now()
				lb(t, "drain", restarted.addr, "--wait", "--timeout", "50s", "--reason", "restart")
				drains = append(drains, time.Since(began).Round(100*time.Millisecond).String())
				cut += u.stop(restarted.name)
				restarted.stop()
				l.awaitMore(t, rate/4)
				restarted.start(t)
				had := restarted.requests.Load()
				lb(t, "ready", restarted.addr)
				if !strings.HasPrefix(name, "maglev") { // by which all have the same path
					eventually(t, 20*time.Second, "it gets traffic again", func() bool { return restarted.requests.Load() > had })
				}
			}
			l.awaitMore(t, rate/2)
			lost := v.stop()
			counts := l.stop()
			t.Logf("%d sockets at a time, %d in all, %d words; lost: %v; cut by a restart: %d; %s; drains took %v",
				sockets, v.opened.Load(), v.words.Load(), lost, cut, counts, drains)
			expectNoFailure(t, counts)
			if cut > 0 || len(lost) > 0 {
				t.Errorf("%d sockets cut by a restart, and lost: %v", cut, lost)
			}
			if caddy.ActiveContext().Context != config {
				t.Error("the configuration was loaded anew")
			}
		})
	}
}
