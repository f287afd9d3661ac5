package healthcheck

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy/fastcgi"
)

// request returns the request of one probe.
func (h *HTTP) request(ctx context.Context, t Target) (*http.Request, error) {
	u := *h.uri
	u.Scheme, u.Host = "http", hostPort(t)
	if h.Scheme != "" {
		u.Scheme = h.Scheme
	} else if o, ok := t.Transport.(reverseproxy.HealthCheckSchemeOverriderTransport); ok {
		o.OverrideHealthCheckScheme(&u, t.Dial.Port)
	}
	repl := newReplacer(t)
	body := strings.NewReader(repl.ReplaceKnown(h.Body, ""))
	req, err := http.NewRequestWithContext(transportContext(ctx, t, repl), h.Method, u.String(), body)
	if err != nil {
		return nil, err
	}
	if t.Host != "" {
		req.Host = t.Host
	}
	req.Header.Set("User-Agent", userAgent)
	for _, f := range h.fields {
		value := repl.ReplaceKnown(f.value, "")
		if f.name == "Host" {
			req.Host = value
			continue
		}
		req.Header.Set(f.name, value)
	}
	return req, nil
}

// hostPort returns the target's address for a URL, which cannot have the path of a
// socket.
func hostPort(t Target) string {
	if caddy.IsUnixNetwork(t.Dial.Network) || caddy.IsFdNetwork(t.Dial.Network) {
		return "localhost"
	}
	return t.Dial.Address
}

// newReplacer returns a replacer with the placeholders of the target that Caddy has
// in requests and in its own probes.
func newReplacer(t Target) *caddy.Replacer {
	repl := caddy.NewReplacer()
	repl.Set("http.reverse_proxy.active.target_upstream", t.Upstream)
	repl.Set("http.reverse_proxy.upstream.address", t.Dial.String())
	repl.Set("http.reverse_proxy.upstream.hostport", t.Dial.Address)
	repl.Set("http.reverse_proxy.upstream.host", t.Dial.Host)
	repl.Set("http.reverse_proxy.upstream.port", t.Dial.Port)
	return repl
}

// noServer is the server in the context of probes: transports read how it logs.
var noServer = new(caddyhttp.Server)

// transportContext adds what transports read from a request's context: where to
// dial, placeholders (in a server name, say), the client for the PROXY protocol, and
// for FastCGI the server.
func transportContext(ctx context.Context, t Target, repl *caddy.Replacer) context.Context {
	ctx = context.WithValue(ctx, caddy.CtxKey("reverse_proxy.dial_info"), t.Dial)
	ctx = context.WithValue(ctx, caddy.ReplacerCtxKey, repl)
	ctx = context.WithValue(ctx, caddyhttp.ServerCtxKey, noServer)
	return context.WithValue(ctx, caddyhttp.VarsCtxKey, map[string]any{
		"reverse_proxy.proxy_protocol_info": reverseproxy.ProxyProtocolInfo{
			AddrPort: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0),
		},
	})
}

// roundTripper is a function that is an [http.RoundTripper].
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// send sends the request over the transport.
func (h *HTTP) send(req *http.Request, transport http.RoundTripper) (*http.Response, error) {
	transport = forProbe(transport, req)
	trip := roundTripper(func(r *http.Request) (*http.Response, error) {
		// FastCGI takes the URI from here. It also sends the protocol, which a
		// request after a redirect lacks.
		ctx := context.WithValue(r.Context(), caddyhttp.OriginalRequestCtxKey, *r)
		r = r.WithContext(ctx)
		r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1
		return transport.RoundTrip(r)
	})
	if !h.FollowRedirects {
		return trip(req)
	}
	client := http.Client{Transport: trip, CheckRedirect: limitRedirects}
	return client.Do(req)
}

func limitRedirects(_ *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return failf("redirect loop: stopped after %d redirects", maxRedirects)
	}
	return nil
}

// forProbe returns the transport for the request. FastCGI's ignores the context and
// would wait for a hung upstream for ever, so its copy gets timeouts.
func forProbe(transport http.RoundTripper, req *http.Request) http.RoundTripper {
	t, ok := transport.(*fastcgi.Transport)
	deadline, bounded := req.Context().Deadline()
	if !ok || !bounded {
		return transport
	}
	limited := *t
	left := time.Until(deadline)
	limited.ReadTimeout = shorter(t.ReadTimeout, left)
	limited.WriteTimeout = shorter(t.WriteTimeout, left)
	return limited
}

// shorter returns the shorter of a timeout, where 0 means none, and the time left.
func shorter(timeout caddy.Duration, left time.Duration) caddy.Duration {
	if timeout == 0 || time.Duration(timeout) > left {
		return caddy.Duration(max(left, 1))
	}
	return timeout
}
