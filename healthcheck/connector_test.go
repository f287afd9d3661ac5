package healthcheck

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pires/go-proxyproto"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy/fastcgi"
)

// connector returns the connector of the transport.
func connector(t testing.TB, rt http.RoundTripper) *Connector {
	t.Helper()
	c, err := NewConnector(rt)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// trusting returns the TLS options of a transport that trusts the authority.
func trusting(ca *authority, serverName string, exceptPorts ...string) *reverseproxy.TLSConfig {
	config := trust(ca)
	config.ServerName, config.ExceptPorts = serverName, exceptPorts
	return config
}

func TestConnectorConnectsAsTheTransportDoes(t *testing.T) {
	verifyNoLeaks(t)
	ca := newAuthority(t)
	plain := serve(t, untilClosed)
	names := make(chan string, 64) // server names of the latest handshakes
	encrypted := func(certified string) string {
		config := ca.server(t, certified)
		config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			names <- hello.ServerName
			return nil, nil
		}
		return serve(t, afterHandshake(config))
	}
	up, other := encrypted("up.example"), encrypted("other.example")
	_, upPort, _ := net.SplitHostPort(up)
	_, plainPort, _ := net.SplitHostPort(plain)
	socket := filepath.Join(t.TempDir(), "a.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	accept(t, listener, untilClosed)
	for _, test := range []struct {
		name, address string
		transport     http.RoundTripper
		wantName      string // server name
		wantErr       string // part of the error
	}{
		{"plain", plain, &reverseproxy.HTTPTransport{}, "", ""},
		{"plain, refused", refused(t), &reverseproxy.HTTPTransport{}, "", "connection refused"},
		{"socket", "unix/" + socket, &reverseproxy.HTTPTransport{}, "", ""},
		{"no socket", "unix/" + socket + "x", &reverseproxy.HTTPTransport{}, "", "no such file"},
		{"socket, FastCGI", "unix/" + socket, &fastcgi.Transport{}, "", ""},
		{"FastCGI", plain, &fastcgi.Transport{}, "", ""},
		{"FastCGI, refused", refused(t), &fastcgi.Transport{}, "", "connection refused"},
		{"h2c", plain, &reverseproxy.HTTPTransport{Versions: []string{"h2c", "2"}}, "", ""},
		{"TLS", up, &reverseproxy.HTTPTransport{TLS: trusting(ca, "up.example")}, "up.example", ""},
		{"TLS, by the upstream's host", "localhost:" + upPort, &reverseproxy.HTTPTransport{TLS: trusting(ca, "")}, "localhost", "not localhost"},
		{"TLS, by the address", up, &reverseproxy.HTTPTransport{TLS: trusting(ca, "")}, "", ""},
		{"TLS, another's name", other, &reverseproxy.HTTPTransport{TLS: trusting(ca, "up.example")}, "up.example", "not up.example"},
		{"TLS, name with a placeholder", up, &reverseproxy.HTTPTransport{TLS: trusting(ca, "{env.UP}.example")}, "up.example", ""},
		{"TLS, refused", refused(t), &reverseproxy.HTTPTransport{TLS: trusting(ca, "up.example")}, "", "connection refused"},
		{"TLS to a plain server", serve(t, saying("hello")), &reverseproxy.HTTPTransport{TLS: trusting(ca, "up.example")}, "", "first record does not look like a TLS handshake"},
		{"TLS except for the port", plain, &reverseproxy.HTTPTransport{TLS: trusting(ca, "", plainPort)}, "", ""},
		{"address that does not parse", "127.0.0.1:80-90", &reverseproxy.HTTPTransport{}, "", "11 sockets"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("UP", "up")
			switch rt := test.transport.(type) {
			case *reverseproxy.HTTPTransport:
				handlerTransport(t, rt)
			case *fastcgi.Transport:
				provisioned(t, rt)
			}
			err := connector(t, test.transport).Connect(t.Context(), test.address)
			if test.wantErr == "" && err != nil || test.wantErr != "" && (err == nil || !strings.Contains(err.Error(), test.wantErr)) {
				t.Errorf("got %v, want %q", err, test.wantErr)
			}
			name := ""
			select {
			case name = <-names:
			default:
			}
			if name != test.wantName {
				t.Errorf("server name %q, want %q", name, test.wantName)
			}
		})
	}
}

func TestConnectorSendsThePROXYHeaderBeforeTheHandshake(t *testing.T) {
	verifyNoLeaks(t)
	ca := newAuthority(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	strict := &proxyproto.Listener{Listener: l, ConnPolicy: func(proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
		return proxyproto.REQUIRE, nil
	}}
	accept(t, strict, afterHandshake(ca.server(t, "up.example")))
	rt := handlerTransport(t, &reverseproxy.HTTPTransport{ProxyProtocol: "v2", TLS: trusting(ca, "up.example")})
	if err := connector(t, rt).Connect(t.Context(), l.Addr().String()); err != nil {
		t.Error(err)
	}
}

func TestConnectionEndsWithItsContext(t *testing.T) {
	verifyNoLeaks(t)
	ca := newAuthority(t)
	address := serve(t, untilClosed) // answers no handshake
	for _, name := range []string{"up.example", "{env.UP}.example"} {
		ctx, cancel := context.WithCancel(t.Context())
		c := connector(t, handlerTransport(t, &reverseproxy.HTTPTransport{TLS: trusting(ca, name)}))
		ended := make(chan error)
		go func() { ended <- c.Connect(ctx, address) }()
		cancel()
		if err := <-ended; err == nil {
			t.Error("no error")
		}
	}
}

// foreign is a transport of somebody else's.
type foreign struct{ http.RoundTripper }

func TestTransportsThatThePluginCannotConnectFor(t *testing.T) {
	behind := func(proxy func(*http.Request) (*url.URL, error)) *reverseproxy.HTTPTransport {
		rt := handlerTransport(t, new(reverseproxy.HTTPTransport))
		rt.Transport.Proxy = proxy
		return rt
	}
	for _, test := range []struct {
		name string
		rt   http.RoundTripper
		want string
	}{
		{"none", nil, "the handler has no transport"},
		{"nil", (*reverseproxy.HTTPTransport)(nil), "the handler has no transport"},
		{"nil FastCGI", (*fastcgi.Transport)(nil), "the handler has no transport"},
		{"not provisioned", new(reverseproxy.HTTPTransport), "the handler has no transport"},
		{"foreign", foreign{}, "the transport healthcheck.foreign opens its connections in a way of its own"},
		{"HTTP/3", handlerTransport(t, &reverseproxy.HTTPTransport{Versions: []string{"3"}, TLS: new(reverseproxy.TLSConfig)}), "the transport uses HTTP/3 only"},
		{"forward_proxy_url", handlerTransport(t, &reverseproxy.HTTPTransport{ForwardProxyURL: "http://proxy.example:3128"}),
			"the transport has a forward_proxy_url"},
		{"network_proxy", handlerTransport(t, &reverseproxy.HTTPTransport{
			NetworkProxyRaw: caddyconfig.JSONModuleObject(map[string]string{"url": "socks5://u:p@proxy.example:1080"}, "from", "url", nil)}),
			"the transport connects through the proxy socks5://u:xxxxx@proxy.example:1080"},
		{"proxy that needs a client's request", behind(func(r *http.Request) (*url.URL, error) { panic("no client") }),
			"the transport's proxy: panic: no client"},
	} {
		c, err := NewConnector(test.rt)
		if c != nil {
			t.Errorf("%s: connects", test.name)
		}
		if err == nil || err.Error() != test.want {
			t.Errorf("%s:\ngot  %v\nwant %s", test.name, err, test.want)
		}
	}
}

func TestProxyForSomeUpstreamsOnly(t *testing.T) {
	rt := handlerTransport(t, new(reverseproxy.HTTPTransport))
	rt.Transport.Proxy = func(r *http.Request) (*url.URL, error) {
		if r.URL.Port() == "81" {
			return &url.URL{Scheme: r.URL.Scheme, Host: "proxy.example"}, nil
		}
		return nil, nil
	}
	c := connector(t, rt)
	if err := c.Connect(t.Context(), serve(t, untilClosed)); err != nil {
		t.Error(err)
	}
	expectReason(t, c.Connect(t.Context(), "[::1%lo]:81"), "requests to [::1%lo]:81 go through the proxy http://proxy.example")
}

func TestEqualConnectors(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	of := func(config *reverseproxy.HTTPTransport) *Connector { return connector(t, handlerTransport(t, config)) }
	kinds := [][]*Connector{
		{of(&reverseproxy.HTTPTransport{}), of(&reverseproxy.HTTPTransport{})},
		{of(&reverseproxy.HTTPTransport{ProxyProtocol: "v1"})},
		{of(&reverseproxy.HTTPTransport{TLS: trust(ca)}), of(&reverseproxy.HTTPTransport{TLS: trust(ca)})},
		{of(&reverseproxy.HTTPTransport{TLS: trust(other)})},
		{of(&reverseproxy.HTTPTransport{TLS: trusting(ca, "up.example")})},
		{connector(t, provisioned(t, &fastcgi.Transport{})), connector(t, provisioned(t, &fastcgi.Transport{}))},
	}
	for i, a := range kinds {
		for j, b := range kinds {
			for _, c := range slices.Concat(a, b) {
				if equal := a[0].equal(c); equal != (i == j || slices.Contains(a, c)) {
					t.Errorf("kinds %d and %d: equal is %v", i, j, equal)
				}
			}
		}
	}
}
