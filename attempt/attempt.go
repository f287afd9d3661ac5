package attempt

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
	"github.com/caddy-evenkeel/evenkeel/internal/resources"
)

// Attempt is an attempt to have a request served by an upstream, from its start to
// the end of its response. A source makes it as a part of what it keeps of the
// attempt itself, so that both are one allocation.
type Attempt struct {
	Sink    Sink
	Began   int64 // instant
	Request context.Context

	transport *Transport
	address   string       // of the upstream, as Caddy names it
	sent      *requestBody // nil where the request has none
	stop      func() bool  // ends watching for the end of the request; nil where that is not watched
	over      atomic.Bool
	body      responseBody // here, and not apart, for the sake of allocations
}

// roundTrip makes the attempt. Response and error do not change on the way; of the
// request, what is the source's is not sent.
func (a *Attempt) roundTrip(r *http.Request, from Source) (*http.Response, error) {
	t, returned := a.transport, false
	defer func() {
		if !returned { // the transport has panicked
			a.end(Abandoned)
		}
	}()
	sent, body := watchRequest(from.Outgoing(r))
	a.sent = body
	res, err := t.inner.RoundTrip(sent)
	returned = true
	if err != nil {
		from.Unanswered(r)
		a.failed(r, err)
		return nil, err
	}
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

// failed takes in that the attempt got no answer.
func (a *Attempt) failed(r *http.Request, err error) {
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
	// A client whose body broke off, and what this machine lacks, are not the
	// upstream's failure.
	case a.sent.broken() || resources.Exhausted(err):
		a.end(Abandoned)
	case sent:
		a.end(Unanswered)
		rec.suspect(a)
	default:
		a.end(Unanswered)
		a.Sink.Blame(Upstream)
	}
}

// answered takes in an answer: its header now, its body as it is read. The record
// is that of the attempts before, or, where answers are retried, with this one; nil
// for none.
func (a *Attempt) answered(res *http.Response, rec *Record) {
	answer := a.Sink.Answered(res, a.Took())
	switch {
	case answer.Good:
		rec.answered()
	case answer.Failed && a.transport.retriesAnswered: // the request may be retried for it
		rec.suspect(a)
	case answer.Failed:
		a.Sink.Blame(Unknown)
	}
	switch {
	case res.StatusCode == http.StatusSwitchingProtocols && answer.Watch:
		// The body is not ours to watch, but the request ends with it.
		a.sent.end()
		context.AfterFunc(a.Request, func() { a.done(Complete) })
		return
	case Bare(res):
		a.end(Complete)
		return
	case answer.Watch, a.sent != nil && a.sent.whole:
		// A handler that panics, as one does when the client is gone, may leave the
		// body open.
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

// end is done, with the use of the request's body.
func (a *Attempt) end(e End) {
	a.sent.end()
	a.done(e)
}

// done tells the sink that the attempt has ended, unless it has been told.
func (a *Attempt) done(e End) {
	if a.over.Swap(true) {
		return
	}
	a.Sink.Done(e)
	a.transport.ended()
}

// responseBody tells when a response is done with.
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
