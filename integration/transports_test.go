package integration

import (
	"bytes"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/fcgi"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/pires/go-proxyproto"
)

// answering is the mirror, with another answer for probes.
var answering = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == healthPath {
		w.Header().Set(nameHeader, "a")
		ok(w, r)
		return
	}
	mirror(w, r)
})

// serve serves on the listener until the end of the test.
func serve(t *testing.T, server *http.Server, l net.Listener) {
	server.ErrorLog = log.New(io.Discard, "", 0)
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
}

func listen(t *testing.T, network, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestH2CIsAsWithoutThePlugin(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0")
	server := &http.Server{Handler: trailing, Protocols: new(http.Protocols)}
	server.Protocols.SetUnencryptedHTTP2(true)
	serve(t, server, l)
	for name, upstream := range map[string]struct{ address, block string }{
		"scheme":   {"h2c://" + l.Addr().String(), ""},
		"versions": {l.Addr().String(), "transport http {\n versions h2c 2\n}"},
	} {
		t.Run(name, func(t *testing.T) {
			compare(t, upstream.address, upstream.block, "trailer Grpc-Status: 0",
				method("POST", "/", "message", "Te", "trailers", "Content-Type", "application/grpc"))
			compare(t, upstream.address, upstream.block, "POST / HTTP/2.0", method("POST", "/", "message", "Te", "trailers"))
		})
	}
}

// trailing is a mirror with trailers, as gRPC's are.
var trailing = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // before an answer begins: HTTP/1 is not full duplex
	r.Body = io.NopCloser(bytes.NewReader(body))
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status")
	http.NewResponseController(w).Flush() // or the length is known, which leaves no place for trailers
	answering(w, r)
	w.Header().Set("Grpc-Status", "0")
	w.Header().Set(http.TrailerPrefix+"X-Unannounced", "yes")
})

func TestHTTPSIsAsWithoutThePlugin(t *testing.T) {
	ca := newAuthority(t)
	for protocol, want := range map[string]string{"h2": "HTTP/2.0", "http/1.1": "HTTP/1.1"} {
		t.Run(protocol, func(t *testing.T) {
			b := startTLS(t, "a", ca.server(t, []string{protocol}, "site.example"))
			b.set(trailing)
			for name, block := range map[string]string{
				"pool":       "transport http {\n tls_trust_pool file " + ca.file + "\n}",
				"deprecated": "transport http {\n tls_trusted_ca_certs " + ca.file + "\n}",
				"name":       "transport http {\n tls_trust_pool file " + ca.file + "\n tls_server_name site.example\n}",
			} {
				t.Run(name, func(t *testing.T) {
					compare(t, "https://"+b.addr, block, "GET / "+want+" host "+b.addr, method("GET", "/", ""))
				})
			}
		})
	}
}

func TestHTTP3IsAsWithoutThePlugin(t *testing.T) {
	ca := newAuthority(t)
	compare(t, startHTTP3(t, answering, ca), "transport http {\n versions 3\n tls_trust_pool file "+ca.file+"\n}",
		"POST / HTTP/3.0", method("POST", "/", "text"))
}

func TestFastCGIIsAsWithoutThePlugin(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0")
	go fcgi.Serve(l, answering)
	t.Cleanup(func() { l.Close() })
	block := "transport fastcgi {\n root /srv\n split .php\n}"
	for name, m := range map[string]string{"GET": "", "POST": "text"} {
		t.Run(name, func(t *testing.T) {
			compare(t, l.Addr().String(), block, name+" http://", method(name, "/index.php?x=1", m))
		})
	}
}

func TestProxyProtocolIsAsWithoutThePlugin(t *testing.T) {
	for _, version := range []string{"v1", "v2"} {
		t.Run(version, func(t *testing.T) {
			l := &proxyproto.Listener{
				Listener:          listen(t, "tcp", "127.0.0.1:0"),
				ReadHeaderTimeout: time.Second,
				ConnPolicy: func(proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
					return proxyproto.REQUIRE, nil
				},
			}
			serve(t, &http.Server{Handler: answering}, l)
			compare(t, l.Addr().String(), "transport http {\n proxy_protocol "+version+"\n}", "from 127.0.0.1", method("GET", "/", ""))
		})
	}
}

func TestUnixSocketsAreAsWithoutThePlugin(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	serve(t, &http.Server{Handler: answering}, listen(t, "unix", path))
	compare(t, "unix/"+path, "", "GET / HTTP/1.1", method("GET", "/", ""))
}

func init() { caddy.RegisterModule(new(bare)) }

// bare is a transport by somebody else, who implements only what is needed.
type bare struct{}

func (*bare) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.reverse_proxy.transport.bare", New: func() caddy.Module { return new(bare) }}
}

func (*bare) UnmarshalCaddyfile(d *caddyfile.Dispenser) error { return nil }

// RoundTrip implements http.RoundTripper.
func (*bare) RoundTrip(r *http.Request) (*http.Response, error) {
	dial, _ := reverseproxy.GetDialInfo(r.Context())
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = "http", dial.Address
	r.Header.Set("X-Transport", "bare")
	t := &http.Transport{DisableKeepAlives: true, TLSClientConfig: new(tls.Config)}
	return t.RoundTrip(r)
}

func TestAThirdPartysTransportIsAsWithoutThePlugin(t *testing.T) {
	b := start(t, "a")
	b.set(mirror)
	compare(t, b.addr, "transport bare", "asked X-Transport: bare", method("POST", "/", "text"))
}
