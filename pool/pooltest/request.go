package pooltest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// parsed is what [NewRequest] copies. Tests send many requests, and parsing each takes
// long.
var parsed = httptest.NewRequest(http.MethodGet, "/", nil)

// NewRequest returns a request as Caddy passes it to a policy.
func NewRequest() *http.Request {
	ctx := context.WithValue(context.Background(), caddy.ReplacerCtxKey, caddy.NewReplacer())
	ctx = context.WithValue(ctx, caddyhttp.VarsCtxKey, make(map[string]any))
	r := parsed.WithContext(ctx)
	r.Header = make(http.Header)
	r.URL = &url.URL{Path: "/"}
	return r
}

// NewRequestOf returns a request of one of many clients.
func NewRequestOf(client int) *http.Request {
	r := NewRequest()
	r.RemoteAddr = fmt.Sprintf("192.0.%d.%d:1234", client>>8&0xff, client&0xff)
	return r
}

// ServerRequest returns a request as Caddy's server passes it to a handler, with all
// placeholders, and a header of pairs.
func ServerRequest(target string, header ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.URL.Host = ""
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	ctx := context.WithValue(r.Context(), caddyhttp.ServerCtxKey, new(caddyhttp.Server))
	ctx = context.WithValue(ctx, caddyhttp.VarsCtxKey, map[string]any{
		caddyhttp.ClientIPVarKey: "192.0.2.1", caddyhttp.TrustedProxyVarKey: false,
	})
	r = r.WithContext(ctx)
	caddyhttp.NewTestReplacer(r)
	return r
}

// WithEnd returns the request with an end.
func WithEnd(r *http.Request) (*http.Request, context.CancelFunc) {
	ctx, end := context.WithCancel(r.Context())
	return r.WithContext(ctx), end
}

// Directed returns the request as Caddy passes it to a transport.
func Directed(r *http.Request, u *reverseproxy.Upstream) *http.Request {
	r.URL.Host = u.Dial
	ctx := context.WithValue(r.Context(), caddy.CtxKey("reverse_proxy.dial_info"), reverseproxy.DialInfo{Upstream: u, Address: u.Dial})
	return r.WithContext(context.WithValue(ctx, caddyhttp.ServerCtxKey, new(caddyhttp.Server)))
}
