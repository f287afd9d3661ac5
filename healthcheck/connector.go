package healthcheck

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy/fastcgi"

	"github.com/caddy-evenkeel/evenkeel/internal/dialaddr"
)

// Connector opens a connection to an upstream as the handler's transport does: by
// TCP or to a unix socket, with its dialer, its PROXY header, and the TLS handshake
// where it uses TLS. No request is sent. Several goroutines may use it.
type Connector struct {
	rt      http.RoundTripper
	http    *reverseproxy.HTTPTransport // nil for FastCGI
	options string                      // see there
}

// NewConnector returns the connector of a handler's transport, as the handler has it,
// not one that observes it. The error says why the plugin cannot connect by itself.
func NewConnector(rt http.RoundTripper) (*Connector, error) {
	c := &Connector{rt: rt}
	switch t := rt.(type) {
	case *fastcgi.Transport:
		if t == nil {
			return nil, errNoTransport
		}
	case *reverseproxy.HTTPTransport:
		if t == nil || t.Transport == nil || t.Transport.DialContext == nil {
			return nil, errNoTransport
		}
		if slices.Equal(t.Versions, []string{"3"}) {
			return nil, errors.New("the transport uses HTTP/3 only")
		}
		if err := configuredProxy(t); err != nil {
			return nil, err
		}
		c.http = t
	case nil:
		return nil, errNoTransport
	default:
		return nil, fmt.Errorf("the transport %T opens its connections in a way of its own", rt)
	}
	c.options = options(rt)
	return c, nil
}

var errNoTransport = errors.New("the handler has no transport")

// configuredProxy returns an error if the transport is configured to go through a
// proxy. Where the environment names one, it depends on the upstream: see direct.
func configuredProxy(t *reverseproxy.HTTPTransport) error {
	if t.ForwardProxyURL != "" {
		return errors.New("the transport has a forward_proxy_url")
	}
	for _, scheme := range []string{"http", "https"} {
		proxy, err := proxyOf(t, scheme, "upstream.invalid")
		if err != nil {
			return fmt.Errorf("the transport's proxy: %w", err)
		}
		if proxy == nil {
			continue
		}
		environments, err := http.ProxyFromEnvironment(requestTo(scheme, "upstream.invalid"))
		if err == nil && environments != nil && environments.String() == proxy.String() {
			continue
		}
		return fmt.Errorf("the transport connects through the proxy %s", proxy.Redacted())
	}
	return nil
}

// Connect opens one connection to the upstream's address, in which the caller has
// filled in the placeholders, and closes it.
func (c *Connector) Connect(ctx context.Context, dialled string) error {
	dial, err := dialaddr.Resolve(dialled)
	if err != nil {
		return err
	}
	dial.Upstream = &reverseproxy.Upstream{Dial: dialled}
	t := Target{Upstream: dialled, Dial: dial, Transport: c.rt}
	if err := c.direct(t); err != nil {
		return err
	}
	if c.encrypts(t) && c.http.Transport.DialTLSContext != nil {
		// It does the handshake, too, and fills in a server name with placeholders.
		conn, err := c.http.Transport.DialTLSContext(transportContext(ctx, t, newReplacer(t)), dial.Network, dial.Address)
		if err != nil {
			return err
		}
		conn.Close()
		return nil
	}
	_, release, err := open(ctx, t, c.tls(t))
	if err != nil {
		return err
	}
	release()
	return nil
}

// Bounds of how long one connection may take, its handshake included. Between them it
// takes as long as it may for a request: an upstream that is slow to connect to is there.
const (
	leastPatience = 2 * time.Second
	mostPatience  = 30 * time.Second

	defaultDialTimeout      = 3 * time.Second // of Caddy's transports
	defaultHandshakeTimeout = 10 * time.Second
)

// patience returns how long one connection may take.
func (c *Connector) patience() time.Duration {
	var d time.Duration
	switch t := c.rt.(type) {
	case *fastcgi.Transport:
		d = cmp.Or(time.Duration(t.DialTimeout), defaultDialTimeout)
	case *reverseproxy.HTTPTransport:
		d = cmp.Or(time.Duration(t.DialTimeout), defaultDialTimeout)
		if t.TLS != nil {
			d += cmp.Or(time.Duration(t.TLS.HandshakeTimeout), defaultHandshakeTimeout)
		}
	}
	return min(max(d, leastPatience), mostPatience)
}

// Connects returns an error if the connector cannot connect to the address, in which
// the caller has filled in the placeholders, whatever the upstream does: since its
// requests go through a proxy, say.
func (c *Connector) Connects(dialled string) error {
	dial, err := dialaddr.Resolve(dialled)
	if err != nil {
		return err
	}
	return c.direct(Target{Upstream: dialled, Dial: dial, Transport: c.rt})
}

// direct returns an error if requests to the target go through a proxy. Those to a
// socket never do.
func (c *Connector) direct(t Target) error {
	if c.http == nil || caddy.IsUnixNetwork(t.Dial.Network) {
		return nil
	}
	scheme := "http"
	if c.encrypts(t) {
		scheme = "https"
	}
	proxy, err := proxyOf(c.http, scheme, t.Dial.Address)
	if err != nil {
		return err
	}
	if proxy != nil {
		return fmt.Errorf("requests to %s go through the proxy %s", t.Dial.Address, proxy.Redacted())
	}
	return nil
}

// encrypts reports whether connections to the target are encrypted.
func (c *Connector) encrypts(t Target) bool {
	return c.http != nil && c.http.TLS != nil && !slices.Contains(c.http.TLS.ExceptPorts, t.Dial.Port)
}

// tls returns the TLS configuration for the target; nil for none.
func (c *Connector) tls(t Target) *tls.Config {
	if !c.encrypts(t) {
		return nil
	}
	config := c.http.Transport.TLSClientConfig
	if config == nil {
		config = new(tls.Config)
	}
	return named(config, t)
}

// equal reports whether both connect to an upstream in the same way.
func (c *Connector) equal(other *Connector) bool {
	return c == other || c.options == other.options && c.roots().Equal(other.roots())
}

// roots returns the certificates that the transport trusts; nil for the system's.
func (c *Connector) roots() *x509.CertPool {
	if c.http == nil || c.http.Transport.TLSClientConfig == nil {
		return nil
	}
	return c.http.Transport.TLSClientConfig.RootCAs
}
