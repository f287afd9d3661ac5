package healthcheck

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// healthFunc is a health service that is a function.
type healthFunc func(context.Context, *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error)

type healthServer struct {
	healthpb.UnimplementedHealthServer
	check healthFunc
}

func (s healthServer) Check(ctx context.Context, r *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	return s.check(ctx, r)
}

// serveGRPC serves the health service on the listener until the test ends.
func serveGRPC(t *testing.T, l net.Listener, service healthpb.HealthServer, options ...grpc.ServerOption) {
	t.Helper()
	server := grpc.NewServer(options...)
	if service != nil {
		healthpb.RegisterHealthServer(server, service)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); server.Serve(l) }()
	t.Cleanup(func() { server.Stop(); <-ended })
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func failing(code codes.Code, message string) healthServer {
	return healthServer{check: func(context.Context, *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
		return nil, status.Error(code, message)
	}}
}

func TestGRPCReasons(t *testing.T) {
	known := health.NewServer()
	known.SetServingStatus("cart", healthpb.HealthCheckResponse_NOT_SERVING)
	known.SetServingStatus("odd", healthpb.HealthCheckResponse_UNKNOWN)
	long := strings.Repeat("x", 1000)
	for name, test := range map[string]struct {
		checker GRPC
		service healthpb.HealthServer
		reason  string
	}{
		"server":          {GRPC{}, known, "<nil>"},
		"not serving":     {GRPC{Service: "cart"}, known, "NOT_SERVING"},
		"no idea":         {GRPC{Service: "odd"}, known, "UNKNOWN"},
		"unknown service": {GRPC{Service: "shop"}, known, `service "shop" unknown to the server`},
		"no health":       {GRPC{}, nil, "UNIMPLEMENTED: unknown service grpc.health.v1.Health"},
		"refuses":         {GRPC{}, failing(codes.PermissionDenied, "go away"), "PERMISSION_DENIED: go away"},
		"times out":       {GRPC{}, failing(codes.DeadlineExceeded, "database"), "DEADLINE_EXCEEDED: database"},
		"gives up":        {GRPC{}, failing(codes.Canceled, "no"), "CANCELLED: no"},
		"speaks of noise": {GRPC{}, failing(codes.Unavailable, "rpc error: desc = db"), "UNAVAILABLE: rpc error: desc = db"},
		"long message":    {GRPC{}, failing(codes.Internal, long), "INTERNAL: " + long[:maxReason-len("INTERNAL: ")-1] + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			verifyNoLeaks(t)
			l := listen(t)
			serveGRPC(t, l, test.service)
			expectReason(t, checkSoon(t, provisioned(t, &test.checker), targetAt(t, l.Addr().String())), test.reason)
		})
	}
}

func TestGRPCRequest(t *testing.T) {
	seen := make(chan metadata.MD, 1)
	service := healthServer{check: func(ctx context.Context, r *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		seen <- md
		return &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVING}, nil
	}}
	l := listen(t)
	serveGRPC(t, l, service)
	socket := filepath.Join(t.TempDir(), "s")
	unix, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	serveGRPC(t, unix, service)
	address := l.Addr().String()
	for name, test := range map[string]struct {
		checker       GRPC
		address, host string
		want          map[string]string
	}{
		"defaults":          {GRPC{}, address, "", map[string]string{":authority": address}},
		"unix socket":       {GRPC{}, "unix/" + socket, "", map[string]string{":authority": "localhost"}},
		"host of the check": {GRPC{}, address, "a.example", map[string]string{":authority": "a.example"}},
		"own authority":     {GRPC{Authority: "b.example:1"}, address, "a.example", map[string]string{":authority": "b.example:1"}},
		"metadata":          {GRPC{Metadata: map[string]string{"X-A": "1", "b-bin": "\x00é"}}, address, "", map[string]string{"x-a": "1", "b-bin": "\x00é"}},
	} {
		t.Run(name, func(t *testing.T) {
			target := targetAt(t, test.address)
			target.Host = test.host
			if err := checkSoon(t, provisioned(t, &test.checker), target); err != nil {
				t.Fatal(err)
			}
			md := <-seen
			for key, want := range test.want {
				if got := md.Get(key); !slices.Equal(got, []string{want}) {
					t.Errorf("%s is %q, want %q", key, got, want)
				}
			}
			if agent := md.Get("user-agent"); len(agent) != 1 || !strings.HasPrefix(agent[0], userAgent) {
				t.Errorf("user-agent is %q", agent)
			}
		})
	}
}

func TestGRPCOverTLS(t *testing.T) {
	ca := newAuthority(t)
	config := ca.server(t, "up.example")
	secure := listen(t)
	serveGRPC(t, secure, health.NewServer(), grpc.Creds(credentials.NewTLS(config)))
	plain := listen(t)
	serveGRPC(t, plain, health.NewServer())
	old := ca.server(t, "old.example")
	old.NextProtos = nil
	h1 := serve(t, afterHandshake(old))
	trusting := func(name string) *reverseproxy.TLSConfig {
		config := trust(ca)
		config.ServerName = name
		return config
	}
	const mistrust = "tls: failed to verify certificate: x509: certificate signed by unknown authority"
	for name, test := range map[string]struct {
		checker GRPC
		address string
		host    string
		handler *reverseproxy.TLSConfig
		reason  string
	}{
		"tls":                       {GRPC{TLS: &TLS{CA: []string{ca.file}}}, secure.Addr().String(), "", nil, "<nil>"},
		"tls by a name":             {GRPC{TLS: &TLS{CA: []string{ca.file}, ServerName: "up.example"}, Authority: "x.example"}, secure.Addr().String(), "", nil, "<nil>"},
		"tls by another name":       {GRPC{TLS: &TLS{CA: []string{ca.file}}}, secure.Addr().String(), "x.example", nil, "tls: failed to verify certificate: x509: certificate is valid for up.example, not x.example"},
		"tls, not trusted":          {GRPC{TLS: &TLS{}}, secure.Addr().String(), "", nil, mistrust},
		"the transport's":           {GRPC{}, secure.Addr().String(), "", trusting(""), "<nil>"},
		"the transport's name":      {GRPC{}, secure.Addr().String(), "", trusting("x.example"), "tls: failed to verify certificate: x509: certificate is valid for up.example, not x.example"},
		"the check's name":          {GRPC{}, secure.Addr().String(), "up.example", trusting("x.example"), "<nil>"},
		"the name in a placeholder": {GRPC{}, secure.Addr().String(), "", trusting("{http.reverse_proxy.upstream.host}"), "<nil>"},
		"plaintext though TLS":      {GRPC{Plaintext: true}, plain.Addr().String(), "", trusting(""), "<nil>"},
		"tls where there's none":    {GRPC{TLS: &TLS{}}, plain.Addr().String(), "", nil, "tls: first record does not look like a TLS handshake"},
		"no HTTP/2":                 {GRPC{TLS: &TLS{CA: []string{ca.file}}}, h1, "", nil, "tls: the upstream does not offer HTTP/2 (ALPN h2)"},
	} {
		t.Run(name, func(t *testing.T) {
			verifyNoLeaks(t)
			handlers := handlerTransport(t, &reverseproxy.HTTPTransport{TLS: test.handler})
			target := targetOver(t, test.address, test.host, handlers)
			expectReason(t, checkSoon(t, provisioned(t, &test.checker), target), test.reason)
		})
	}
}

// The name of the check counts, whatever the transport has made of it.
func TestGRPCServerName(t *testing.T) {
	ca := newAuthority(t)
	l := listen(t)
	serveGRPC(t, l, health.NewServer(), grpc.Creds(credentials.NewTLS(ca.server(t, "up.example"))))
	target := targetAt(t, l.Addr().String())
	target.TLS = &tls.Config{RootCAs: ca.pool(), ServerName: "x.example"}
	target.Host = "up.example"
	expectReason(t, checkSoon(t, provisioned(t, new(GRPC)), target), "<nil>")
	if target.TLS.ServerName != "x.example" {
		t.Error("the transport's configuration was changed")
	}
}

// refusing speaks HTTP/2 up to the first request, which it does not take, and
// returns the value of the request's :scheme.
func refusing(conn net.Conn) (scheme string) {
	io.CopyN(io.Discard, conn, int64(len(http2.ClientPreface)))
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	framer.WriteSettings()
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return scheme
		}
		if request, ok := frame.(*http2.MetaHeadersFrame); ok {
			scheme = request.PseudoValue("scheme")
			framer.WriteGoAway(0, http2.ErrCodeNo, nil)
		}
	}
}

// Some servers care for the scheme.
func TestGRPCScheme(t *testing.T) {
	ca := newAuthority(t)
	config := ca.server(t)
	config.NextProtos = []string{"h2"}
	schemes := make(chan string, 1)
	secure := serve(t, func(conn net.Conn) { schemes <- refusing(tls.Server(conn, config)) })
	plain := serve(t, func(conn net.Conn) { schemes <- refusing(conn) })
	checkSoon(t, provisioned(t, &GRPC{TLS: &TLS{CA: []string{ca.file}}}), targetAt(t, secure))
	if scheme := <-schemes; scheme != "https" {
		t.Errorf("over TLS, the scheme is %q", scheme)
	}
	checkSoon(t, provisioned(t, new(GRPC)), targetAt(t, plain))
	if scheme := <-schemes; scheme != "http" {
		t.Errorf("in the clear, the scheme is %q", scheme)
	}
}

func TestGRPCHostileServers(t *testing.T) {
	for name, test := range map[string]struct {
		answer func(net.Conn)
		reason string
	}{
		"closed at once": {saying(""), "UNAVAILABLE: error reading server preface: EOF"},
		"goes away":      {func(conn net.Conn) { refusing(conn) }, "UNAVAILABLE: connection closed by the upstream"},
		"HTTP/1.1":       {saying("HTTP/1.1 400 Bad Request\r\n\r\n"), "UNAVAILABLE: error reading server preface: http2: failed reading the frame payload: http2: frame too large, note that the frame header looked like an HTTP/1.1 header"},
	} {
		t.Run(name, func(t *testing.T) {
			verifyNoLeaks(t)
			expectReason(t, checkSoon(t, provisioned(t, new(GRPC)), targetAt(t, serve(t, test.answer))), test.reason)
		})
	}
	t.Run("huge message", func(t *testing.T) {
		l := listen(t)
		serveGRPC(t, l, nil, grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
			return s.SendMsg(&healthpb.HealthCheckRequest{Service: strings.Repeat("x", maxMessage)})
		}))
		expectReason(t, checkSoon(t, provisioned(t, new(GRPC)), targetAt(t, l.Addr().String())),
			"RESOURCE_EXHAUSTED: grpc: received message larger than max (65540 vs. 65536)")
	})
	t.Run("nobody there", func(t *testing.T) {
		address := refused(t)
		expectReason(t, checkSoon(t, provisioned(t, new(GRPC)), targetAt(t, address)), "dial tcp "+address+": connection refused")
	})
}

func TestGRPCHungServers(t *testing.T) {
	t.Run("silence", func(t *testing.T) {
		verifyNoLeaks(t)
		checkBriefly(t, provisioned(t, new(GRPC)), targetAt(t, serve(t, untilClosed)))
	})
	t.Run("no handshake", func(t *testing.T) {
		verifyNoLeaks(t)
		checkBriefly(t, provisioned(t, &GRPC{TLS: &TLS{}}), targetAt(t, serve(t, untilClosed)))
	})
	waiting := healthServer{check: func(ctx context.Context, _ *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	t.Run("no answer", func(t *testing.T) {
		verifyNoLeaks(t)
		l := listen(t)
		serveGRPC(t, l, waiting)
		checkBriefly(t, provisioned(t, new(GRPC)), targetAt(t, l.Addr().String()))
	})
	t.Run("cut off", func(t *testing.T) {
		verifyNoLeaks(t)
		ctx, cancel := context.WithCancel(t.Context())
		l := listen(t)
		serveGRPC(t, l, healthServer{check: func(called context.Context, r *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
			cancel()
			return waiting.Check(called, r)
		}})
		expectReason(t, provisioned(t, new(GRPC)).Check(ctx, targetAt(t, l.Addr().String())), "probe was cut off")
	})
}
