package pool

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy/fastcgi"
)

// wrap returns the transport that stands in for the observer's inner one. It
// has every optional interface that the inner one has: Caddy's own transports
// are embedded, so that this holds for later versions, too; for others each
// known interface is handed through, or answers what Caddy assumes without it.
func (o *observer) wrap() http.RoundTripper {
	switch inner := o.inner.(type) {
	case *reverseproxy.HTTPTransport:
		return observedHTTP{inner, o}
	case *fastcgi.Transport:
		return observedFastCGI{inner, o}
	}
	return observedOther{o}
}

type observedHTTP struct {
	*reverseproxy.HTTPTransport
	o *observer
}

func (t observedHTTP) RoundTrip(r *http.Request) (*http.Response, error) { return t.o.roundTrip(r) }
func (t observedHTTP) observer() *observer                               { return t.o }

type observedFastCGI struct {
	*fastcgi.Transport
	o *observer
}

func (t observedFastCGI) RoundTrip(r *http.Request) (*http.Response, error) { return t.o.roundTrip(r) }
func (t observedFastCGI) observer() *observer                               { return t.o }

type observedOther struct{ o *observer }

func (t observedOther) RoundTrip(r *http.Request) (*http.Response, error) { return t.o.roundTrip(r) }
func (t observedOther) observer() *observer                               { return t.o }

func (t observedOther) TLSEnabled() bool {
	inner, ok := t.o.inner.(reverseproxy.TLSTransport)
	return ok && inner.TLSEnabled()
}

func (t observedOther) EnableTLS(base *reverseproxy.TLSConfig) error {
	if inner, ok := t.o.inner.(reverseproxy.TLSTransport); ok {
		return inner.EnableTLS(base)
	}
	return errors.New("transport does not support TLS")
}

func (t observedOther) EnableH2C() error {
	if inner, ok := t.o.inner.(reverseproxy.H2CTransport); ok {
		return inner.EnableH2C()
	}
	return errors.New("transport does not support h2c")
}

func (t observedOther) ProxyProtocolEnabled() bool {
	inner, ok := t.o.inner.(reverseproxy.ProxyProtocolTransport)
	return ok && inner.ProxyProtocolEnabled()
}

func (t observedOther) OverrideHealthCheckScheme(base *url.URL, port string) {
	if inner, ok := t.o.inner.(reverseproxy.HealthCheckSchemeOverriderTransport); ok {
		inner.OverrideHealthCheckScheme(base, port)
	}
}

func (t observedOther) DefaultBufferSizes() (request, response int64) {
	if inner, ok := t.o.inner.(reverseproxy.BufferedTransport); ok {
		return inner.DefaultBufferSizes()
	}
	return 0, 0
}

func (t observedOther) RequestHeaderOps() *headers.HeaderOps {
	if inner, ok := t.o.inner.(reverseproxy.RequestHeaderOpsTransport); ok {
		return inner.RequestHeaderOps()
	}
	return nil
}

func (t observedOther) RequiresContentLength() bool {
	inner, ok := t.o.inner.(reverseproxy.ContentLengthRequiredTransport)
	return ok && inner.RequiresContentLength()
}

// Interface guards
var (
	_ observed                                         = observedHTTP{}
	_ observed                                         = observedFastCGI{}
	_ observed                                         = observedOther{}
	_ reverseproxy.TLSTransport                        = observedOther{}
	_ reverseproxy.H2CTransport                        = observedOther{}
	_ reverseproxy.ProxyProtocolTransport              = observedOther{}
	_ reverseproxy.HealthCheckSchemeOverriderTransport = observedOther{}
	_ reverseproxy.BufferedTransport                   = observedOther{}
	_ reverseproxy.RequestHeaderOpsTransport           = observedOther{}
	_ reverseproxy.ContentLengthRequiredTransport      = observedOther{}
)
