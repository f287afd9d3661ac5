package healthcheck

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"go.uber.org/zap"
	"golang.org/x/net/http2"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// transport is what a check's probes go through.
type transport struct {
	http.RoundTripper
	tls         *tls.Config
	fingerprint string // equal for transports that treat an upstream alike
	closers     []func() error
}

// newTransport returns the transport for probes, made from the given one of the
// handler or the checker. If host is set, it is the TLS server name.
func newTransport(ctx caddy.Context, rt http.RoundTripper, host string) (*transport, error) {
	t := &transport{RoundTripper: rt}
	if rt == nil {
		own := new(reverseproxy.HTTPTransport)
		if err := own.Provision(ctx); err != nil {
			return nil, err
		}
		t.RoundTripper = own
		t.closers = append(t.closers, own.Cleanup)
	}
	module, isHTTP := t.RoundTripper.(*reverseproxy.HTTPTransport)
	if isHTTP && host != "" && module.TLS != nil {
		if slices.Equal(module.Versions, []string{"3"}) {
			ctx.Logger().Warn("health_check host does not change the TLS server name over HTTP/3; use the transport's tls_server_name",
				zap.String("host", host))
		} else {
			named, err := withServerName(module, Target{Host: host}.ServerName())
			if err != nil {
				return nil, err
			}
			t.RoundTripper, module = named, named
			t.closers = append(t.closers, named.Cleanup)
		}
	}
	switch {
	case isHTTP && module.TLS != nil:
		t.tls = module.Transport.TLSClientConfig
		if t.tls == nil {
			t.tls = new(tls.Config)
		}
	case !isHTTP:
		if other, ok := t.RoundTripper.(reverseproxy.TLSTransport); ok && other.TLSEnabled() {
			t.tls = new(tls.Config)
		}
	}
	t.fingerprint = t.print()
	if isHTTP && module.TLS == nil && !slices.Contains(module.Versions, "h2c") {
		t.RoundTripper = singleUse(module)
	}
	return t, nil
}

// probeBuffer is enough for what a probe sends and gets in most cases.
const probeBuffer = 1024

// singleUse returns a copy of the module that opens a connection for each request
// and closes it afterwards. So a probe shows that the upstream accepts connections,
// and idle connections to thousands of upstreams do not pile up. It is not for TLS,
// where a handshake for each probe costs too much, nor for HTTP/2, where a
// connection has many streams. Setting Close on the request does not do: it would
// take an idle connection of the handler's and close it.
func singleUse(module *reverseproxy.HTTPTransport) *reverseproxy.HTTPTransport {
	single := *module
	single.Transport = module.Transport.Clone()
	single.Transport.DisableKeepAlives = true
	single.Transport.ReadBufferSize = probeBuffer
	single.Transport.WriteBufferSize = probeBuffer
	return &single
}

// withServerName returns a copy of the module with the given TLS server name. It
// shares no connections with the module, since those are for another name.
func withServerName(module *reverseproxy.HTTPTransport, name string) (*reverseproxy.HTTPTransport, error) {
	rt := module.Transport.Clone()
	if rt.TLSClientConfig == nil {
		rt.TLSClientConfig = new(tls.Config)
	}
	rt.TLSClientConfig.ServerName = name
	rt.DialTLSContext = nil // fills in a server name with placeholders
	rt.TLSNextProto = nil   // belongs to the original's HTTP/2 connections
	if slices.Contains(module.Versions, "2") {
		//lint:ignore SA1019 as Caddy does, whose transport this is a copy of
		if err := http2.ConfigureTransport(rt); err != nil {
			return nil, err
		}
	}
	named := *module
	named.Transport = rt
	return &named, nil
}

// print returns the fingerprint: what the transport is configured to do.
func (t *transport) print() string {
	print := options(t.RoundTripper)
	if t.tls != nil && t.tls.RootCAs != nil {
		id := roots.acquire(t.tls.RootCAs)
		t.closers = append(t.closers, func() error { roots.release(id); return nil })
		print += fmt.Sprintf("roots %d", id)
	}
	return print
}

// options returns a text that is equal for transports that are configured alike, but
// for the certificates that they trust.
func options(rt http.RoundTripper) string {
	config, err := json.Marshal(rt)
	if err != nil {
		return fmt.Sprintf("%p", rt) // like no other
	}
	print := fmt.Sprintf("%T%s", rt, config)
	// Caddy drops the configuration of the modules inside a module once they are
	// loaded: these are told apart by their effect.
	if module, ok := rt.(*reverseproxy.HTTPTransport); ok {
		proxy, _ := proxyOf(module, "http", "upstream.invalid")
		print += fmt.Sprintf("proxy %v", proxy)
	}
	return print
}

// proxyOf returns the proxy that requests to the host go through; nil for none. The
// module that names it may be anybody's, and need a request of a client.
func proxyOf(module *reverseproxy.HTTPTransport, scheme, host string) (proxy *url.URL, err error) {
	if module.Transport == nil || module.Transport.Proxy == nil {
		return nil, nil
	}
	defer func() {
		if r := recover(); r != nil {
			proxy, err = nil, fmt.Errorf("panic: %v", r)
		}
	}()
	return module.Transport.Proxy(requestTo(scheme, host))
}

// requestTo returns a request to the host, as proxies are chosen by.
func requestTo(scheme, host string) *http.Request {
	ctx := context.WithValue(context.Background(), caddyhttp.VarsCtxKey, make(map[string]any))
	ctx = context.WithValue(ctx, caddy.ReplacerCtxKey, caddy.NewReplacer())
	r := &http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: scheme, Host: host, Path: "/"}, Host: host, Header: make(http.Header)}
	return r.WithContext(ctx)
}

func (t *transport) close() (err error) {
	for _, f := range t.closers {
		if e := f(); e != nil {
			err = e
		}
	}
	t.closers = nil
	return err
}
