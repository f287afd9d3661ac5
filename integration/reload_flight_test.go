package integration

import (
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
)

// TestRequestsInFlightOutliveTheirConfig has requests answered long after a
// reload has cleaned up their handler: they must not notice, and what they hold
// must go with them.
func TestRequestsInFlightOutliveTheirConfig(t *testing.T) {
	if forked(t) {
		return
	}
	ca := newAuthority(t)
	trusting := "transport http {\n tls_trust_pool file " + ca.file + "\n}"
	plain := func(t *testing.T, b *backend) string {
		b.start(t)
		return b.addr
	}
	encrypted := func(protocol string) func(*testing.T, *backend) string {
		return func(t *testing.T, b *backend) string {
			b.tls = ca.server(t, []string{protocol})
			b.start(t)
			return "https://" + b.addr
		}
	}
	for name, c := range map[string]struct {
		start func(*testing.T, *backend) string
		block string
		cut   bool // by Caddy itself, whatever the policy
	}{
		"without transport block": {plain, "", false},
		"with transport block":    {plain, "transport http {\n dial_timeout 2s\n}", false},
		"HTTP/1 over TLS":         {encrypted("http/1.1"), trusting, false},
		"HTTP/2":                  {encrypted("h2"), trusting, false},
		"HTTP/3": {func(t *testing.T, b *backend) string { return startHTTP3(t, b, ca) },
			"transport http {\n versions 3\n tls_trust_pool file " + ca.file + "\n}", true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend("a")
			b.setHealth(ok)
			upstream := c.start(t, b)
			for _, measure := range []string{"header", "last_byte"} {
				t.Run(measure, func(t *testing.T) {
					site := policy(upstream, "peak_ewma", "measure "+measure+"\n"+checking, c.block)
					inFlightOver(t, run(t, site), site, b, c.cut)
				})
			}
		})
	}
}

func inFlightOver(t *testing.T, p *proxy, site string, b *backend, cut bool) {
	t.Helper()
	eventually(t, 5*time.Second, "the check passes", func() bool { return logs.count("upstream is healthy") > 0 })
	settle()
	first := measure()
	release := make(chan struct{})
	b.requests.Store(0)
	b.set(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/streams" {
			http.NewResponseController(w).Flush()
		}
		held(release)(w, r)
	})
	const flying = 6
	var answers [flying]answer
	var all sync.WaitGroup
	for i := range flying {
		all.Go(func() {
			path := "/"
			if i%2 == 1 {
				path = "/streams"
			}
			answers[i] = p.do(http.MethodGet, path, "")
		})
	}
	eventually(t, 5*time.Second, "all are in flight", func() bool { return b.requests.Load() == flying })
	p.reload(site)
	close(release)
	all.Wait()
	for _, a := range answers {
		if !cut && (a.err != nil || a.status != http.StatusOK || a.body != "a") {
			t.Errorf("in flight at the reload: %v", a)
		}
	}
	expectNoMore(t, p, first)
}

// startHTTP3 serves the backend over HTTP/3, and returns it as an upstream.
func startHTTP3(t *testing.T, b http.Handler, ca *authority) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http3.Server{Handler: b, TLSConfig: http3.ConfigureTLSConfig(ca.server(t, nil))}
	go server.Serve(conn)
	t.Cleanup(func() {
		server.Close()
		conn.Close()
	})
	return "https://" + conn.LocalAddr().String()
}
