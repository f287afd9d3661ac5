// Package attempt holds the transport that wraps a handler's own. It sees each attempt
// to have a request served, from its start to the end of its response, and keeps the
// history of a request's attempts. It knows pools only by the interfaces [Source],
// [Pick] and [Sink].
package attempt

import (
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/endpoint"
)

// Source is where a handler's attempts come from: a pool.
type Source interface {
	// Begin begins an attempt on the upstream, and returns it with its sink; nil where
	// the source does not know the upstream. The endpoint is that of the upstream's
	// address; nil where nothing is kept of it. The pick is that of the attempt, which
	// owns it from now on; nil where it holds nothing. Now is an instant.
	Begin(r *http.Request, u *reverseproxy.Upstream, p Pick, now int64) (*Attempt, *endpoint.Endpoint)

	// Outgoing returns the request as upstreams may see it: a copy, if that differs.
	Outgoing(r *http.Request) *http.Request

	// Unanswered is called when an attempt for the request got no answer, for the error.
	Unanswered(r *http.Request, err error)
}

// Pick is what the pick of an upstream holds until an attempt follows.
type Pick interface {
	// GiveBack gives it back, since no attempt follows.
	GiveBack()
}

// Sink receives what happens to one attempt.
type Sink interface {
	// Answered receives the header of the answer, and how long it took.
	Answered(res *http.Response, took time.Duration) Answer

	// Done receives the end of the attempt: once, and after Answered.
	Done(e End)

	// Blame says whose fault the failure of the attempt was: once for an answer that
	// is a failure and for [Unanswered], when the fault is settled. That may be after
	// Done.
	Blame(f Fault)
}

// Answer is what a sink makes of an answer.
type Answer struct {
	Good   bool // the upstream has served the request
	Failed bool // the answer is a failure
	Watch  bool // the end of the request ends the attempt, even if its body stays open
}

// End is what ended an attempt.
type End uint8

const (
	Complete   End = iota // the response came to its end
	Left                  // the response was left before its end, by the client or the handler
	BrokeOff              // the response broke off
	Lost                  // there was no connection
	Closed                // the connection was closed before any answer
	Stale                 // the connection was closed for being idle, just as the request was sent
	Unanswered            // there was no answer else: a timeout, say
	Abandoned             // there was no answer, by the client's fault or this machine's
)

// Fault is whose fault a failure was.
type Fault uint8

const (
	Unknown  Fault = iota
	Upstream       // nothing was sent to it, or another upstream answered the request
	Request        // all attempts of the request failed alike, or a retry was refused
)
