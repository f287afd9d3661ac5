// Package healthcheck probes upstreams and holds a verdict on each.
//
// A [Checker] is one kind of probe. A [Check] is a checker with the options
// that all checks have: when to probe, and how many results it takes to
// change a verdict. The [Monitor] runs the probes of all checks and calls
// back when an upstream's [State] changes in what decides who may be picked.
package healthcheck

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// Namespace is the module namespace of checkers.
const Namespace = "http.reverse_proxy.health_checkers"

// A Checker is one kind of probe: a module in the namespace
// http.reverse_proxy.health_checkers.
type Checker interface {
	// Check probes the target once. It returns nil when the target passes;
	// otherwise the error's text is the reason that logs, events and
	// operators see. It must return when ctx ends, and may run for many
	// targets at once.
	Check(ctx context.Context, t Target) error
}

// A Reporter is a checker whose probes tell more than whether the target
// passes. Its method Report is called in place of Check.
type Reporter interface {
	Checker

	// Report probes the target once, as Check does. What it reports counts
	// whatever the error.
	Report(ctx context.Context, t Target) (Report, error)
}

// Report is what a probe tells beside whether the target passes. The zero
// Report tells nothing.
type Report struct {
	// Header is that of the target's response, in which the option
	// `on_response` looks for its fields. Nil: there was no response, or it
	// has none.
	Header http.Header

	// Force is what the error, or that there is none, does to the verdict.
	Force Force

	// Order is what the target asks for itself.
	Order Order

	// Warning is what operators should know of the answer. It is logged when
	// it is not the same as that of the target's probe before.
	Warning string
}

// Target is what one probe is aimed at.
type Target struct {
	// Upstream is the upstream's dial address as the configuration has it.
	Upstream string

	// Dial says where to connect. Its port is the check's own where the
	// check has one.
	Dial reverseproxy.DialInfo

	// Host is the Host header and the TLS server name to use, from the
	// check's option `host`. Empty: those of the upstream itself.
	Host string

	// Transport is what the handler's requests go through, without the
	// observer: probes are no load. Its TLS server name is Host where Host
	// is set. It is never nil.
	Transport http.RoundTripper

	// TLS is the client configuration of Transport; nil if its connections
	// are not encrypted. It must be cloned before it is changed.
	TLS *tls.Config
}

// Connect opens a plain connection to the target: where the transport is Caddy's
// own, with its dialer, and so with its name servers, local address and PROXY
// header.
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

// TransportOwner is a checker that can bring its own transport, which then
// takes the place of the handler's.
type TransportOwner interface {
	// OwnTransport returns nil where the handler's transport is to be used.
	OwnTransport() http.RoundTripper
}

// PortOwner is a checker that can have a port of its own, which then takes the
// place of the check's and of the upstream's.
type PortOwner interface {
	// OwnPort returns 0 where it has none.
	OwnPort() int
}
