package attempt

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy/fastcgi"

	"github.com/caddy-evenkeel/evenkeel/endpoint"
)

// The transport for what cannot be sent twice keeps idle connections for at most half
// as long as the upstream, and at least a quarter.
func TestTransportThatKeepsConnectionsForLess(t *testing.T) {
	for name, c := range map[string]struct {
		transport *http.Transport
		learned   time.Duration
		shorter   bool
	}{
		"nothing is learned":      {&http.Transport{IdleConnTimeout: 2 * time.Minute}, 0, false},
		"a second":                {&http.Transport{IdleConnTimeout: 2 * time.Minute}, time.Second, true},
		"a minute":                {&http.Transport{IdleConnTimeout: 2 * time.Minute}, time.Minute, true},
		"the least":               {&http.Transport{IdleConnTimeout: 2 * time.Minute}, endpoint.ShortestIdle, true},
		"no timeout":              {&http.Transport{}, time.Minute, true},
		"the transport's is less": {&http.Transport{IdleConnTimeout: 29 * time.Second}, time.Minute, false},
		"a bound on connections":  {&http.Transport{IdleConnTimeout: 2 * time.Minute, MaxConnsPerHost: 3}, time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			own := &reverseproxy.HTTPTransport{Transport: c.transport}
			var k keepalive
			k.use(own)
			defer k.closeIdle()
			var idle endpoint.Idle
			if c.learned > 0 {
				idle.Closed(c.learned, 1)
			}
			got := k.transport(own, &idle).(*reverseproxy.HTTPTransport)
			if got != k.transport(own, &idle) || (got != own) != c.shorter {
				t.Fatalf("another transport: %t, want %t; or not the same again", got != own, c.shorter)
			}
			if keeps := got.Transport.IdleConnTimeout; c.shorter && (keeps > c.learned/2 || keeps < c.learned/4) {
				t.Errorf("keeps idle connections for %s", keeps)
			}
		})
	}
}

// The copies speak what Caddy's own transport does.
func TestCopiesOfCaddysTransport(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol, func(t *testing.T) {
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(w, r.Body)
			}))
			s.EnableHTTP2 = protocol == "HTTP/2.0"
			s.StartTLS()
			defer s.Close()
			ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
			defer cancel()
			own := &reverseproxy.HTTPTransport{TLS: &reverseproxy.TLSConfig{InsecureSkipVerify: true}}
			if err := own.Provision(ctx); err != nil {
				t.Fatal(err)
			}
			var k keepalive
			k.use(own)
			defer k.closeIdle()
			var idle endpoint.Idle
			idle.Closed(time.Minute, 1)
			for range 3 {
				r := httptest.NewRequest(http.MethodPost, s.URL, strings.NewReader("body"))
				r.RequestURI = ""
				res, err := k.transport(own, &idle).RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				text, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || string(text) != "body" || res.Proto != protocol {
					t.Errorf("%s over %s, %v", text, res.Proto, err)
				}
			}
		})
	}
}

func TestTransportsThatReuseConnections(t *testing.T) {
	for name, c := range map[string]struct {
		inner http.RoundTripper
		want  bool
		keeps time.Duration
	}{
		"Caddy's":           {&reverseproxy.HTTPTransport{Transport: &http.Transport{IdleConnTimeout: time.Minute}}, true, time.Minute},
		"without keepalive": {&reverseproxy.HTTPTransport{Transport: &http.Transport{IdleConnTimeout: time.Minute, DisableKeepAlives: true}}, false, 0},
		"h2c":               {&reverseproxy.HTTPTransport{Versions: []string{"h2c"}, Transport: new(http.Transport)}, false, 0},
		"not provisioned":   {new(reverseproxy.HTTPTransport), false, 0},
		"FastCGI":           {new(fastcgi.Transport), false, 0},
		"another":           {new(tracing), true, 0},
	} {
		var k keepalive
		if k.use(c.inner); k.reuses != c.want || k.keeps() != c.keeps {
			t.Errorf("%s: reuses %t, keeps for %s", name, k.reuses, k.keeps())
		}
		k.closeIdle()
	}
}
