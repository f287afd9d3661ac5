// Package attempt holds the transport that stands before a handler's own: each
// attempt to have a request served, from its start to the end of its response, and
// what the attempts of one request come to. It knows pools by the interfaces
// [Source], [Pick] and [Sink] only.
package attempt

import (
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// Source is where a handler's attempts come from: a pool.
type Source interface {
	// Begin notes that an attempt on the upstream begins now, and returns it with its
	// sink; nil where the source does not know the upstream. Pick is what the pick of
	// the attempt holds, which is the attempt's from now on; nil for nothing.
	Begin(r *http.Request, u *reverseproxy.Upstream, p Pick, now int64) *Attempt

	// Outgoing returns the request as upstreams may see it: a copy, where that
	// differs.
	Outgoing(r *http.Request) *http.Request

	// Unanswered notes that an attempt for the request got no answer.
	Unanswered(r *http.Request)
}

// Pick is what the pick of an upstream holds for the attempt that is to follow.
type Pick interface {
	// GiveBack gives it back: no attempt follows.
	GiveBack()
}

// Sink takes in what becomes of one attempt.
type Sink interface {
	// Answered takes in the header of the answer, and after what time it came.
	Answered(res *http.Response, took time.Duration) Answer

	// Done takes in the end of the attempt: once, and after Answered.
	Done(e End)

	// Blame says whose fault the failure of the attempt was. It is called once for
	// an answer that is a failure and for [Unanswered], when that is settled, which
	// may be after Done.
	Blame(f Fault)
}

// Answer is what a sink makes of an answer.
type Answer struct {
	Good   bool // the upstream has served the request
	Failed bool // the answer is a failure
	Watch  bool // the end of the request ends the attempt, also where its body stays open
}

// End is what ended an attempt.
type End uint8

const (
	Complete   End = iota // the response came to its end
	Left                  // the response was left before its end, by the client or the handler
	BrokeOff              // the response broke off
	Unanswered            // there was no answer, by the upstream's fault or the request's
	Abandoned             // there was no answer, by the client's fault or this machine's
)

// Fault says whose a failure was.
type Fault uint8

const (
	Unknown  Fault = iota // nothing tells
	Upstream              // nothing was sent to it, or another one answered the request
	Request               // all attempts of the request failed alike
)
