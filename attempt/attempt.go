package attempt

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/caddy-evenkeel/evenkeel/endpoint"
	"github.com/caddy-evenkeel/evenkeel/internal/instant"
	"github.com/caddy-evenkeel/evenkeel/internal/resources"
)

// Attempt is one attempt to have an upstream serve a request, from its start to the
// end of its response. The source allocates it together with its own [Sink].
type Attempt struct {
	Sink    Sink
	Began   int64 // instant
	Request context.Context

	transport *Transport
	address   string       // of the upstream, as Caddy names it
	sent      *requestBody // nil where the request has none
	stop      func() bool  // stops watching the end of the request; nil where that is not watched
	over      atomic.Bool  // the sink knows the end
	body      responseBody // a part of the attempt, so that it is no allocation of its own
}

// roundTrip makes the attempt. It sends the request as [Source.Outgoing] returns it,
// and returns the response and the error of the inner transport unchanged. Idle is that of
// the upstream's address; nil where nothing is kept of it.
func (a *Attempt) roundTrip(r *http.Request, from Source, idle *endpoint.Idle) (*http.Response, error) {
	t, returned := a.transport, false
	defer func() {
		if !returned { // the transport has panicked
			a.end(Abandoned)
		}
	}()
	inner, sent, conn := t.inner, from.Outgoing(r), (*connection)(nil)
	if t.keepalive.reuses {
		again := resent(r)
		if !again {
			inner = t.keepalive.transport(inner, idle)
		}
		if !again || idle.Sample(a.Began) {
			sent, conn = watchConnection(sent, idle)
		}
	}
	sent, body := watchRequest(sent)
	a.sent = body
	res, err := inner.RoundTrip(sent)
	returned = true
	if err != nil {
		from.Unanswered(r, err)
		a.failed(r, err, conn, idle)
		return nil, err
	}
	conn.served()
	var rec *Record
	if t.retriesAnswered {
		rec = t.record(r)
		rec.note(a.address, true)
		if body.partial() {
			rec.forbid() // the transport may still be reading it
		}
	} else if t.blaming.Load() > 0 {
		rec = t.Record(r)
	}
	a.answered(res, rec)
	return res, nil
}

// failed handles an attempt that got no answer.
func (a *Attempt) failed(r *http.Request, err error, conn *connection, idle *endpoint.Idle) {
	spent := a.sent.spent()
	if r.Context().Err() != nil { // the client has gone
		a.end(Abandoned)
		return
	}
	rec, sent := a.transport.record(r), !unsent(err)
	rec.note(a.address, sent)
	if spent {
		rec.forbid()
	}
	switch {
	// The upstream has not failed if the client's body broke off, or if this machine
	// lacks resources.
	case a.sent.broken() || resources.Exhausted(err):
		a.end(Abandoned)
	case !sent:
		idle.Lost(instant.Now())
		a.end(Lost)
		a.Sink.Blame(Upstream)
	case conn.stale(err):
		a.end(Stale)
	case closed(err):
		a.end(Closed)
		rec.suspect(a)
	default:
		a.end(Unanswered)
		rec.suspect(a)
	}
}

// answered handles an answer: its header now, its body while it is read. The record
// is the request's; nil for none. Where answers may be retried, this attempt is in it.
func (a *Attempt) answered(res *http.Response, rec *Record) {
	answer := a.Sink.Answered(res, a.Took())
	switch {
	case answer.Good:
		rec.answered()
	case answer.Failed && a.transport.retriesAnswered: // the request may be retried
		rec.suspect(a)
	case answer.Failed:
		a.Sink.Blame(Unknown)
	}
	switch {
	case res.StatusCode == http.StatusSwitchingProtocols && answer.Watch:
		// The body is the upgraded connection and stays unwrapped. The request ends with it.
		a.sent.end()
		context.AfterFunc(a.Request, func() { a.done(Complete) })
		return
	case Bare(res):
		a.end(Complete)
		return
	case answer.Watch, a.sent != nil && a.sent.whole:
		// The handler panics when the client has gone. It may then leave the body open.
		a.stop = context.AfterFunc(a.Request, func() { a.end(Left) })
	}
	a.body = responseBody{res.Body, a}
	res.Body = &a.body
}

// Took returns the time since the attempt began.
func (a *Attempt) Took() time.Duration { return time.Duration(instant.Now() - a.Began) }

// Bare reports whether the response has no body to be watched.
func Bare(res *http.Response) bool {
	return res.Body == nil || res.Body == http.NoBody || res.StatusCode == http.StatusSwitchingProtocols
}

// end ends the use of the request's body, and the attempt.
func (a *Attempt) end(e End) {
	a.sent.end()
	a.done(e)
}

// done tells the sink that the attempt has ended. Only the first call does.
func (a *Attempt) done(e End) {
	if a.over.Swap(true) {
		return
	}
	a.Sink.Done(e)
	a.transport.ended()
}

// responseBody notices when a response ends, and how.
type responseBody struct {
	io.ReadCloser
	attempt *Attempt
}

func (b *responseBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case err == nil:
	case err == io.EOF:
		b.attempt.done(Complete)
	case b.attempt.Request.Err() == nil:
		b.attempt.done(BrokeOff)
	default:
		b.attempt.done(Left)
	}
	return n, err
}

func (b *responseBody) Close() error {
	err := b.ReadCloser.Close()
	if b.attempt.stop != nil {
		b.attempt.stop()
	}
	b.attempt.end(Left)
	return err
}
