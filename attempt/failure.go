package attempt

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"syscall"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// closed reports whether an attempt failed because the upstream closed its connection
// before any answer.
func closed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		err.Error() == "http: server closed idle connection"
}

// unsent reports whether an attempt failed before anything of its request was sent:
// it got no connection, or no TLS session on it.
func unsent(err error) bool {
	var dial reverseproxy.DialError
	var op *net.OpError
	if errors.As(err, &dial) || errors.As(err, &op) && op.Op == "dial" {
		return true
	}
	var header tls.RecordHeaderError
	var verification *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	return errors.As(err, &header) || errors.As(err, &verification) || errors.As(err, &unknown) ||
		errors.As(err, &name) || errors.As(err, &invalid) || err.Error() == "net/http: TLS handshake timeout"
}
