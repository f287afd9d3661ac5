package integration

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// slowToClose is a listener whose connections close only some time after the server has
// left them, as they do over a network: what is sent meanwhile is lost.
type slowToClose struct {
	net.Listener
	takes time.Duration
}

func (l slowToClose) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &slowConn{Conn: c, takes: l.takes}, nil
}

type slowConn struct {
	net.Conn
	takes time.Duration
	once  sync.Once
}

func (c *slowConn) Close() error {
	c.once.Do(func() { time.AfterFunc(c.takes, func() { c.Conn.Close() }) })
	return nil
}

// closing starts a backend that closes connections that are idle for the time.
func closing(t *testing.T, name string, idle, takes time.Duration) *backend {
	t.Helper()
	b := newBackend(name)
	b.idle = idle
	b.wrap = func(l net.Listener) net.Listener { return slowToClose{l, takes} }
	b.start(t)
	return b
}

// lostPosts makes n POSTs one after the other at random gaps, and returns how many got no
// answer of the backend.
func (p *proxy) lostPosts(path string, n int, gap func() time.Duration) (lost int) {
	for range n {
		if a := p.do(http.MethodPost, path, "body"); a.err != nil || a.status != http.StatusOK {
			lost++
		}
		time.Sleep(gap())
	}
	return lost
}

// TestBackendThatClosesIdleConnections has clients POST at random gaps to backends that
// keep idle connections for a second, under Caddy's random and under a policy of the
// plugin's. Under random, POSTs are lost again and again; under the plugin's, the first
// one of a backend may be. No backend is ejected for it.
func TestBackendThatClosesIdleConnections(t *testing.T) {
	if forked(t) {
		return
	}
	const takes = 100 * time.Millisecond
	idle := atLength(300*time.Millisecond, time.Second)
	sites, n := atLength(2, 6), atLength(25, 150)
	gap := func() time.Duration { return rand.N(3 * idle) }
	if !*long { // while the backend closes the connection
		gap = func() time.Duration { return idle + rand.N(takes*9/10) }
	}
	var site strings.Builder
	for i := range sites {
		for _, policy := range []string{"random", "weighted_random"} {
			b := closing(t, policy, idle, takes)
			fmt.Fprintf(&site, "handle /%s/%d {\n reverse_proxy %s {\n lb_policy %s\n}\n}\n", policy, i, b.addr, policy)
		}
	}
	p := run(t, site.String())
	lost := map[string]*atomic.Int64{"random": new(atomic.Int64), "weighted_random": new(atomic.Int64)}
	var clients sync.WaitGroup
	for policy, lost := range lost {
		for i := range sites {
			clients.Go(func() { lost.Add(int64(p.lostPosts(fmt.Sprintf("/%s/%d", policy, i), n, gap))) })
		}
	}
	clients.Wait()
	control, got := lost["random"].Load(), lost["weighted_random"].Load()
	const warning = "upstream closes idle connections sooner than Caddy, and a request that cannot be sent twice was lost, a POST, say: write keepalive "
	warned := 0
	logs.mu.Lock()
	for _, record := range logs.all {
		if strings.HasPrefix(record["msg"], warning) {
			warned++
		}
	}
	logs.mu.Unlock()
	t.Logf("%d POSTs to %d backends each: random lost %d, weighted_random %d; %d warnings", sites*n, sites, control, got, warned)
	if control == 0 {
		t.Error("none was lost under random: this shows nothing")
	}
	if got > int64(sites) || warned > int(got) || *long && warned == 0 {
		t.Errorf("%d were lost of %d backends, want at most one of each, and a warning of it; %d warnings", got, sites, warned)
	}
	if n := logs.count("upstream is ejected"); n > 0 {
		t.Errorf("%d ejections", n)
	}
}
