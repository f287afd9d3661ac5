package healthcheck

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// countConns returns a server that counts the connections made to it.
func countConns(handler http.Handler) (server *httptest.Server, made func() int) {
	count := make(chan int, 1)
	count <- 0
	server = httptest.NewUnstartedServer(handler)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			count <- 1 + <-count
		}
	}
	return server, func() int {
		n := <-count
		count <- n
		return n
	}
}

func TestHTTPPlainProbesLeaveRequestsTheirConnections(t *testing.T) {
	server, made := countConns(answering(200, "ok"))
	server.Start()
	defer server.Close()
	handlers := handlerTransport(t, new(reverseproxy.HTTPTransport))
	target := targetOver(t, server.Listener.Addr().String(), "", handlers)
	request := func() {
		t.Helper()
		ctx := transportContext(t.Context(), target, caddy.NewReplacer())
		r, _ := http.NewRequestWithContext(ctx, "GET", "http://"+target.Dial.Address, nil)
		resp, err := handlers.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	request()
	for range 3 {
		if err := checkSoon(t, provisioned(t, new(HTTP)), target); err != nil {
			t.Fatal(err)
		}
	}
	request()
	if n := made(); n != 1+3 {
		t.Errorf("%d connections, want one for the requests and one for each of 3 probes", n)
	}
}

func TestHTTPSharedConnections(t *testing.T) {
	ca := newAuthority(t)
	for name, config := range map[string]*reverseproxy.HTTPTransport{
		"HTTP/1.1 over TLS": {Versions: []string{"1.1"}, TLS: trust(ca)},
		"HTTP/2 over TLS":   {TLS: trust(ca)},
		"h2c":               {Versions: []string{"h2c", "2"}},
	} {
		t.Run(name, func(t *testing.T) {
			server, made := countConns(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }))
			if config.TLS != nil {
				server.TLS = ca.server(t)
				server.EnableHTTP2 = true
				server.StartTLS()
			} else {
				server.Config.Protocols = new(http.Protocols)
				server.Config.Protocols.SetUnencryptedHTTP2(true)
				server.Start()
			}
			defer server.Close()
			handlers := handlerTransport(t, config)
			defer handlers.Cleanup() // or closing the server waits for idle connections
			target := targetOver(t, server.Listener.Addr().String(), "", handlers)
			want := "HTTP/2"
			if slices.Equal(config.Versions, []string{"1.1"}) {
				want = "HTTP/1"
			}
			for range 3 {
				if err := checkSoon(t, provisioned(t, &HTTP{ExpectBody: want}), target); err != nil {
					t.Fatal(err)
				}
			}
			if n := made(); n != 1 {
				t.Errorf("%d connections for 3 probes, want 1", n)
			}
		})
	}
}

// trust returns the configuration of a transport that trusts the authority.
func trust(a *authority) *reverseproxy.TLSConfig {
	return &reverseproxy.TLSConfig{CARaw: caddyconfig.JSON(map[string]any{"provider": "file", "pem_files": []string{a.file}}, nil)}
}

func TestHTTPScheme(t *testing.T) {
	ca := newAuthority(t)
	secure := httptest.NewUnstartedServer(answering(200, ""))
	secure.TLS = ca.server(t, "up.example")
	secure.StartTLS()
	defer secure.Close()
	plain := httptest.NewServer(answering(200, ""))
	defer plain.Close()
	_, plainPort, _ := net.SplitHostPort(plain.Listener.Addr().String())
	trusting := func(name string) *reverseproxy.TLSConfig {
		config := trust(ca)
		config.ServerName, config.ExceptPorts = name, []string{plainPort}
		return config
	}
	for name, test := range map[string]struct {
		server *httptest.Server
		scheme string
		tls    *reverseproxy.TLSConfig
		reason string
	}{
		"TLS by the transport":           {secure, "", trusting("up.example"), "<nil>"},
		"TLS but for this port":          {plain, "", trusting(""), "<nil>"},
		"http though TLS":                {plain, "http", &reverseproxy.TLSConfig{}, "<nil>"},
		"https though none":              {secure, "https", nil, "tls: failed to verify certificate: x509: certificate signed by unknown authority"},
		"unknown authority":              {secure, "", &reverseproxy.TLSConfig{}, "tls: failed to verify certificate: x509: certificate signed by unknown authority"},
		"another name":                   {secure, "", trusting("other.example"), "tls: failed to verify certificate: x509: certificate is valid for up.example, not other.example"},
		"server name with a placeholder": {secure, "", trusting("{http.reverse_proxy.upstream.host}"), "<nil>"},
	} {
		t.Run(name, func(t *testing.T) {
			handlers := handlerTransport(t, &reverseproxy.HTTPTransport{TLS: test.tls})
			target := targetOver(t, test.server.Listener.Addr().String(), "", handlers)
			err := checkSoon(t, provisioned(t, &HTTP{Scheme: test.scheme}), target)
			expectReason(t, err, test.reason)
		})
	}
}

func TestHTTPUnixSocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) }))
	server.Listener.Close()
	server.Listener = l
	server.Start()
	defer server.Close()
	expectReason(t, checkSoon(t, provisioned(t, &HTTP{ExpectBody: "^localhost$"}), targetAt(t, "unix/"+socket)), "<nil>")
}

func TestHTTPOwnTransport(t *testing.T) {
	own := provisioned(t, &HTTP{TransportRaw: []byte(`{"protocol":"http","versions":["h2c"]}`)}).OwnTransport()
	if transport, ok := own.(*reverseproxy.HTTPTransport); !ok || !slices.Equal(transport.Versions, []string{"h2c"}) {
		t.Errorf("own transport is %#v", own)
	}
	if own := provisioned(t, new(HTTP)).OwnTransport(); own != nil {
		t.Errorf("own transport is %v, want none", own)
	}
}

// What Caddy's transports, and those of others, look for in the context.
func TestHTTPContext(t *testing.T) {
	target := targetAt(t, "127.0.0.1:80")
	target.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
		ctx := r.Context()
		if dial, ok := reverseproxy.GetDialInfo(ctx); !ok || dial.Address != "127.0.0.1:80" {
			t.Errorf("dial info: %v", dial)
		}
		if repl, ok := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer); !ok {
			t.Error("no replacer")
		} else if host, _ := repl.GetString("http.reverse_proxy.upstream.host"); host != "127.0.0.1" {
			t.Errorf("host in placeholders: %q", host)
		}
		if _, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); !ok {
			t.Error("no server")
		}
		if original, ok := ctx.Value(caddyhttp.OriginalRequestCtxKey).(http.Request); !ok || original.URL.Path != "/up" {
			t.Errorf("original request: %v", original.URL)
		}
		caddyhttp.SetVar(ctx, "set", true)
		if caddyhttp.GetVar(ctx, "set") != true {
			t.Error("no variables")
		}
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	})
	expectReason(t, checkSoon(t, provisioned(t, &HTTP{URI: "/up"}), target), "<nil>")
}

// The contract of Check does not depend on a transport's manners.
func TestHTTPUnmannerlyTransports(t *testing.T) {
	verifyNoLeaks(t)
	target := targetAt(t, "127.0.0.1:80")
	release := make(chan struct{})
	defer close(release)
	target.Transport = roundTripper(func(*http.Request) (*http.Response, error) { <-release; return nil, io.EOF })
	checkBriefly(t, provisioned(t, new(HTTP)), target)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	expectReason(t, provisioned(t, new(HTTP)).Check(ctx, target), "probe was cut off")

	target.Transport = roundTripper(func(*http.Request) (*http.Response, error) { panic("oh dear") })
	expectReason(t, checkSoon(t, provisioned(t, new(HTTP)), target), "transport panicked: oh dear")
}

func TestHTTPProxyProtocol(t *testing.T) {
	headers := make(chan string, 1)
	address := serve(t, func(conn net.Conn) {
		r := bufio.NewReader(conn)
		line, _ := r.ReadString('\n')
		headers <- line
		http.ReadRequest(r)
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	})
	target := targetOver(t, address, "", handlerTransport(t, &reverseproxy.HTTPTransport{ProxyProtocol: "v1"}))
	expectReason(t, checkSoon(t, provisioned(t, new(HTTP)), target), "<nil>")
	if got := <-headers; !strings.HasPrefix(got, "PROXY ") {
		t.Errorf("connection begins with %q", got)
	}
}
