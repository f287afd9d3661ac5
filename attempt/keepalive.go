package attempt

import (
	"math/bits"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy/fastcgi"

	"github.com/caddy-evenkeel/evenkeel/endpoint"
)

// keepalive keeps requests that cannot be sent twice from connections that upstreams are
// about to close. Its transports are copies of the handler's own that keep idle
// connections for a shorter time.
type keepalive struct {
	own     *reverseproxy.HTTPTransport                    // the handler's; nil for one of another kind
	reuses  bool                                           // the handler's transport sends several requests, one by one, on a connection
	shorter [64]atomic.Pointer[reverseproxy.HTTPTransport] // by the binary logarithm of the nanoseconds
}

// use sets the handler's transport.
func (k *keepalive) use(inner http.RoundTripper) {
	switch inner := inner.(type) {
	case *reverseproxy.HTTPTransport:
		if k.own = inner; inner.Transport != nil {
			k.reuses = !inner.Transport.DisableKeepAlives &&
				!slices.Contains(inner.Versions, "h2c") && !slices.Contains(inner.Versions, "3")
		}
	case *fastcgi.Transport:
	default:
		k.reuses = true
	}
}

// keeps returns how long the handler's transport keeps idle connections; 0 where that is
// not known.
func (k *keepalive) keeps() time.Duration {
	if k.own == nil || !k.reuses {
		return 0
	}
	return k.own.Transport.IdleConnTimeout
}

// transport returns the transport for a request that must not be sent on a connection
// to the address that is idle for as long as others were that the upstream had closed.
// That is the handler's own, if nothing is learned or it is not Caddy's. A copy would not
// heed a bound on the connections to an upstream.
func (k *keepalive) transport(inner http.RoundTripper, at *endpoint.Idle) http.RoundTripper {
	keep := at.Least() / 2
	if keep == 0 || k.own == nil || k.own.Transport.MaxConnsPerHost > 0 || k.keeps() > 0 && k.keeps() <= keep {
		return inner
	}
	exponent := bits.Len64(uint64(keep)) - 1
	shorter := &k.shorter[exponent]
	if shorter.Load() == nil {
		copied := *k.own
		copied.Transport = k.own.Transport.Clone()
		copied.Transport.IdleConnTimeout = 1 << exponent
		shorter.CompareAndSwap(nil, &copied)
	}
	return shorter.Load()
}

// closeIdle closes idle connections. Caddy closes those of a configured transport,
// too, but only once: connections that become idle later would stay.
func (k *keepalive) closeIdle() {
	if k.own == nil || k.own.Transport == nil {
		return
	}
	k.own.Transport.CloseIdleConnections()
	for i := range k.shorter {
		if shorter := k.shorter[i].Load(); shorter != nil {
			shorter.Transport.CloseIdleConnections()
		}
	}
}
