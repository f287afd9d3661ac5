package healthcheck

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/dialaddr"
)

func caddyContext(t testing.TB) caddy.Context {
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	return ctx
}

// provisioned returns the module, provisioned.
func provisioned[M caddy.Provisioner](t *testing.T, module M) M {
	t.Helper()
	if err := module.Provision(caddyContext(t)); err != nil {
		t.Fatal(err)
	}
	return module
}

// handlerTransport returns a transport as a handler has it. Its idle
// connections are closed with the test.
func handlerTransport(t *testing.T, config *reverseproxy.HTTPTransport) *reverseproxy.HTTPTransport {
	t.Helper()
	transport := provisioned(t, config)
	t.Cleanup(func() { transport.Cleanup() })
	return transport
}

// targetAt returns the target at a network address, over a plain transport.
func targetAt(t *testing.T, address string) Target {
	t.Helper()
	return targetOver(t, address, "", handlerTransport(t, new(reverseproxy.HTTPTransport)))
}

// targetOver returns the target at a network address over the transport of its
// handler, as a check with the host has it.
func targetOver(t *testing.T, address, host string, rt http.RoundTripper) Target {
	t.Helper()
	dial, err := dialaddr.Resolve(address)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := newTransport(caddyContext(t), rt, host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { transport.close() })
	return Target{Upstream: address, Dial: dial, Host: host, Transport: transport.RoundTripper, TLS: transport.tls}
}

// checkSoon runs the check with a deadline that only failing tests meet.
func checkSoon(t *testing.T, c Checker, target Target) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return c.Check(ctx, target)
}

// checkBriefly runs the check with a deadline that is meant to be met, and
// fails the test unless that is the reason.
func checkBriefly(t *testing.T, c Checker, target Target) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := c.Check(ctx, target)
	if err == nil || !strings.HasPrefix(err.Error(), "timeout after ") {
		t.Errorf("got %v, want a timeout", err)
	}
}

// expectReason fails the test unless err is the given reason, to the letter.
func expectReason(t *testing.T, err error, want string) {
	t.Helper()
	got := "<nil>"
	if err != nil {
		got = err.Error()
	}
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// serve accepts connections until the test ends, and hands each to handle.
func serve(t *testing.T, handle func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accept(t, l, handle)
	return l.Addr().String()
}

// accept accepts the listener's connections until the test ends, which waits
// for their handlers.
func accept(t *testing.T, l net.Listener, handle func(net.Conn)) {
	handlers := make(chan struct{}, 64)
	ended := make(chan int)
	go func() {
		for n := 0; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				ended <- n
				return
			}
			go func() {
				defer func() { handlers <- struct{}{} }()
				defer conn.Close()
				handle(conn)
			}()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		for range <-ended {
			<-handlers
		}
	})
}

// untilClosed waits until the other end closes the connection.
func untilClosed(conn net.Conn) {
	buf := make([]byte, 1024)
	for {
		if _, err := conn.Read(buf); err != nil {
			return
		}
	}
}

// saying returns the handler of a connection that says one thing and no more.
// It leaves last: what it has not read would cut off what it has said.
func saying(text string) func(net.Conn) {
	return func(conn net.Conn) {
		io.WriteString(conn, text)
		conn.(*net.TCPConn).CloseWrite()
		untilClosed(conn)
	}
}

// verifyNoLeaks fails the test if goroutines started from here on outlive it,
// and whatever it cleans up.
func verifyNoLeaks(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}

// refused returns an address where nothing listens.
func refused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	return l.Addr().String()
}

// authority is a private certificate authority.
type authority struct {
	file string // its certificate
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	dir  string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.file = filepath.Join(a.dir, "ca.pem")
	var der []byte
	der, a.key = a.sign(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	a.cert, _ = x509.ParseCertificate(der)
	writePEM(t, a.file, "CERTIFICATE", der)
	return a
}

// sign returns a certificate by the template, and its key.
func (a *authority) sign(t *testing.T, template *x509.Certificate) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(1)
	template.NotAfter = time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return der, key
}

// issue writes a certificate for the names, and its key, to files.
func (a *authority) issue(t *testing.T, names ...string) (cert, key string) {
	t.Helper()
	der, private := a.sign(t, &x509.Certificate{
		DNSNames:    names,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(a.dir, strings.Join(append(names, "leaf"), "-"))
	cert, key = base+".pem", base+".key"
	writePEM(t, cert, "CERTIFICATE", der)
	writePEM(t, key, "PRIVATE KEY", keyDER)
	return cert, key
}

// server returns the TLS configuration of a server with the names.
func (a *authority) server(t *testing.T, names ...string) *tls.Config {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(a.issue(t, names...))
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: a.pool()}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// answering is a handler that answers with a status and a body.
func answering(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		w.Write([]byte(body))
	}
}

// afterHandshake returns the handler of a connection that does the handshake of
// TLS, and waits for the other end to leave.
func afterHandshake(config *tls.Config) func(net.Conn) {
	return func(conn net.Conn) {
		over := tls.Server(conn, config)
		if over.Handshake() == nil {
			untilClosed(over)
		}
	}
}
