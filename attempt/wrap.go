package attempt

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy/fastcgi"
)

// wrapped is a handler's transport with ours around it.
type wrapped interface{ transport() *Transport }

// wrap returns the transport that replaces the handler's own. It has every optional
// interface that the inner transport has. Caddy's own transports are embedded, so that
// this holds for later versions, too. For others, each interface of Caddy's v2.11 is
// passed through, or returns what Caddy assumes without it.
func (t *Transport) wrap() http.RoundTripper {
	switch inner := t.inner.(type) {
	case *reverseproxy.HTTPTransport:
		return wrappedHTTP{inner, t}
	case *fastcgi.Transport:
		return wrappedFastCGI{inner, t}
	}
	return wrappedOther{t}
}

type wrappedHTTP struct {
	*reverseproxy.HTTPTransport
	t *Transport
}

func (w wrappedHTTP) RoundTrip(r *http.Request) (*http.Response, error) { return w.t.roundTrip(r) }
func (w wrappedHTTP) transport() *Transport                             { return w.t }

type wrappedFastCGI struct {
	*fastcgi.Transport
	t *Transport
}

func (w wrappedFastCGI) RoundTrip(r *http.Request) (*http.Response, error) { return w.t.roundTrip(r) }
func (w wrappedFastCGI) transport() *Transport                             { return w.t }

type wrappedOther struct{ t *Transport }

func (w wrappedOther) RoundTrip(r *http.Request) (*http.Response, error) { return w.t.roundTrip(r) }
func (w wrappedOther) transport() *Transport                             { return w.t }

func (w wrappedOther) TLSEnabled() bool {
	inner, ok := w.t.inner.(reverseproxy.TLSTransport)
	return ok && inner.TLSEnabled()
}

func (w wrappedOther) EnableTLS(base *reverseproxy.TLSConfig) error {
	if inner, ok := w.t.inner.(reverseproxy.TLSTransport); ok {
		return inner.EnableTLS(base)
	}
	return errors.New("transport does not support TLS")
}

func (w wrappedOther) EnableH2C() error {
	if inner, ok := w.t.inner.(reverseproxy.H2CTransport); ok {
		return inner.EnableH2C()
	}
	return errors.New("transport does not support h2c")
}

func (w wrappedOther) ProxyProtocolEnabled() bool {
	inner, ok := w.t.inner.(reverseproxy.ProxyProtocolTransport)
	return ok && inner.ProxyProtocolEnabled()
}

func (w wrappedOther) OverrideHealthCheckScheme(base *url.URL, port string) {
	if inner, ok := w.t.inner.(reverseproxy.HealthCheckSchemeOverriderTransport); ok {
		inner.OverrideHealthCheckScheme(base, port)
	}
}

func (w wrappedOther) DefaultBufferSizes() (request, response int64) {
	if inner, ok := w.t.inner.(reverseproxy.BufferedTransport); ok {
		return inner.DefaultBufferSizes()
	}
	return 0, 0
}

func (w wrappedOther) RequestHeaderOps() *headers.HeaderOps {
	if inner, ok := w.t.inner.(reverseproxy.RequestHeaderOpsTransport); ok {
		return inner.RequestHeaderOps()
	}
	return nil
}

func (w wrappedOther) RequiresContentLength() bool {
	inner, ok := w.t.inner.(reverseproxy.ContentLengthRequiredTransport)
	return ok && inner.RequiresContentLength()
}

// Interface guards
var (
	_ wrapped                                          = wrappedHTTP{}
	_ wrapped                                          = wrappedFastCGI{}
	_ wrapped                                          = wrappedOther{}
	_ reverseproxy.TLSTransport                        = wrappedOther{}
	_ reverseproxy.H2CTransport                        = wrappedOther{}
	_ reverseproxy.ProxyProtocolTransport              = wrappedOther{}
	_ reverseproxy.HealthCheckSchemeOverriderTransport = wrappedOther{}
	_ reverseproxy.BufferedTransport                   = wrappedOther{}
	_ reverseproxy.RequestHeaderOpsTransport           = wrappedOther{}
	_ reverseproxy.ContentLengthRequiredTransport      = wrappedOther{}
)
