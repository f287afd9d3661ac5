package attempt

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/endpoint"
)

// upstream is a source and a sink of attempts on one address.
type upstream struct {
	send     func(*http.Request) (*http.Response, error)
	endpoint *endpoint.Endpoint
	ends     []End
	blames   atomic.Int32
}

// install returns an upstream that is reached through the inner transport.
func install(t *testing.T, inner http.RoundTripper) *upstream {
	t.Helper()
	h := &reverseproxy.Handler{Transport: inner}
	transport, err := Install(caddy.Context{}, h)
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{send: h.Transport.RoundTrip, endpoint: new(endpoint.Endpoint)}
	transport.Join(u, false)
	t.Cleanup(transport.Leave)
	return u
}

func (u *upstream) Begin(*http.Request, *reverseproxy.Upstream, Pick, int64) (*Attempt, *endpoint.Endpoint) {
	return &Attempt{Sink: u}, u.endpoint
}
func (u *upstream) Outgoing(r *http.Request) *http.Request            { return r }
func (u *upstream) Unanswered(*http.Request, error)                   {}
func (u *upstream) Answered(*http.Response, time.Duration) (a Answer) { return Answer{Good: true} }
func (u *upstream) Done(e End)                                        { u.ends = append(u.ends, e) }
func (u *upstream) Blame(Fault)                                       { u.blames.Add(1) }

// attempt makes an attempt, and returns how it ended.
func (u *upstream) attempt(method, body string) End {
	r := httptest.NewRequest(method, "http://10.0.0.1/", strings.NewReader(body))
	if body == "" {
		r.Body = http.NoBody
	}
	r.RequestURI = ""
	ctx, end := context.WithCancel(r.Context())
	defer end()
	ctx = context.WithValue(ctx, caddy.CtxKey("reverse_proxy.dial_info"), reverseproxy.DialInfo{Upstream: &reverseproxy.Upstream{Dial: "10.0.0.1:80"}})
	ctx = context.WithValue(ctx, caddyhttp.ServerCtxKey, new(caddyhttp.Server))
	if res, err := u.send(r.WithContext(ctx)); err == nil {
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
	return u.ends[len(u.ends)-1]
}
