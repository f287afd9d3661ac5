// Package healthcheck probes upstreams and keeps a verdict on each.
//
// A [Checker] is one kind of probe. A [Check] is a checker with the options
// that all checks have: when to probe, and how many results it takes to
// change a verdict. The [Monitor] runs the probes of all checks and calls
// back when an upstream's [State] changes in a way that matters for picking.
//
// A probe's way: the monitor's loop finds it due (schedule.go) and launches it
// (probe.go); the checker is called (checker_call.go, then the checker's own file);
// [State.Next] turns the result into the next state (state.go); what has changed is
// logged and emitted (report.go); and the pools that watch are notified.
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

// A Reporter is a checker whose probes return more than whether the target
// passes. Its method Report is called instead of Check.
type Reporter interface {
	Checker

	// Report probes the target once, as Check does. The report counts even if
	// there is an error.
	Report(ctx context.Context, t Target) (Report, error)
}

// Report is what a probe returns besides the error. The zero Report says
// nothing.
type Report struct {
	// Header of the target's response, where the option `on_response` looks
	// for its fields. Nil if there was no response.
	Header http.Header

	// Force is how much the result counts for the verdict.
	Force Force

	// Order is what the target orders for itself.
	Order Order

	// Warning is what operators should know of the answer. It is logged
	// unless the target's probe before had the same.
	Warning string
}

// TransportOwner is a checker that can have a transport of its own, which then
// replaces the handler's.
type TransportOwner interface {
	// OwnTransport returns nil where the handler's transport is to be used.
	OwnTransport() http.RoundTripper
}

// PortOwner is a checker that can have a port of its own, which then replaces the
// check's and the upstream's.
type PortOwner interface {
	// OwnPort returns 0 where it has none.
	OwnPort() int
}
