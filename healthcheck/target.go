package healthcheck

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/dialaddr"
)

// Target is what a checker probes.
type Target struct {
	// Upstream is the upstream's dial address as the configuration has it.
	Upstream string

	// Dial is where to connect. Its port is the check's own if the check has
	// one.
	Dial reverseproxy.DialInfo

	// Host is the Host header and the TLS server name to use, from the
	// check's option `host`. Empty: those of the upstream itself.
	Host string

	// Transport is that of the handler's requests, without the observer:
	// probes do not count as attempts. Its TLS server name is Host if Host is
	// set. It is never nil.
	Transport http.RoundTripper

	// TLS is the client configuration of Transport; nil if its connections
	// are not encrypted. It must be cloned before it is changed.
	TLS *tls.Config
}

// Connect opens a plain connection to the target. If the transport is Caddy's own,
// its dialer is used, and so its name servers, local address and PROXY header.
func (t Target) Connect(ctx context.Context) (net.Conn, error) {
	if m, ok := t.Transport.(*reverseproxy.HTTPTransport); ok && m.Transport != nil && m.Transport.DialContext != nil {
		return m.Transport.DialContext(transportContext(ctx, t, newReplacer(t)), t.Dial.Network, t.Dial.Address)
	}
	var d net.Dialer
	return d.DialContext(ctx, t.Dial.Network, t.Dial.Address)
}

// ServerName is the name that the target's certificate should bear.
func (t Target) ServerName() string {
	if t.Host != "" {
		if host, _, err := net.SplitHostPort(t.Host); err == nil {
			return host
		}
		return t.Host
	}
	if t.Dial.Host == "" {
		return "localhost"
	}
	return t.Dial.Host
}

// target returns the target of probes of the upstream at the given dial address.
func (c *Check) target(upstream string) (Target, error) {
	dial, err := dialaddr.Resolve(upstream)
	if err != nil {
		return Target{}, err
	}
	if c.Port != 0 {
		dial.Port = strconv.Itoa(c.Port)
		if caddy.IsUnixNetwork(dial.Network) || caddy.IsFdNetwork(dial.Network) {
			dial.Network, dial.Host = "tcp", "localhost"
		}
		dial.Address = (&caddy.NetworkAddress{
			Host: dial.Host, StartPort: uint(c.Port), EndPort: uint(c.Port),
		}).JoinHostPort(0)
	}
	return Target{
		Upstream:  upstream,
		Dial:      dial,
		Host:      c.Host,
		Transport: c.transport.RoundTripper,
		TLS:       c.transport.tls,
	}, nil
}
