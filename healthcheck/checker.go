// Package healthcheck probes upstreams and holds a verdict on each.
//
// A [Checker] is one kind of probe. A [Check] is a checker with the options
// that all checks have: when to probe, and how many results it takes to
// change a verdict. The [Monitor] runs the probes of all checks and calls
// back when an upstream's [State] changes in what decides who may be picked.
package healthcheck

import (
	"context"
	"net/http"
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
