package attempt

import (
	"context"
	"net/http"
	"slices"
	"sync"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
	"github.com/caddy-evenkeel/evenkeel/internal/request"
)

// Record is the history of a request's attempts in one handler: which upstreams it
// has tried, which failures still have to be blamed, and what a pick holds that no
// attempt has followed yet. It exists from the first failure on, or from the first
// pick that is carried. It is kept in the request's replacer and not in its vars:
// another goroutine may still read those, for a dial that the transport has given up.
// A nil Record is empty.
type Record struct {
	tried  []try // only the request's own goroutine uses this, and:
	failed int   // attempts that failed, or that were answered where answers are retried
	first  int64 // instant at which the first of those did
	latest int64 // likewise the latest

	mu       sync.Mutex // guards all below: end runs in a goroutine of its own
	picked   picked     // the pick that no attempt has followed yet
	suspects []*Attempt // failed attempts whose fault is not known yet
	alike    bool       // the request was retried after one of them
	final    bool       // the request must not be sent again
	refused  bool       // likewise, although it might
	watching bool       // end is called when the request ends
	ended    bool       // end has been called: nothing is kept any more
}

// try is an upstream that failed the request, or answered it where answers are
// retried.
type try struct {
	address string
	sent    bool // something of the request may have reached it
}

// picked is a pick, until its attempt begins.
type picked struct {
	from    Source // nil for none
	address string
	pick    Pick // nil where it holds nothing
}

// Avoids reports whether the request must not go to the address, since it has tried
// it. With again, that does not hold if nothing was sent there.
func (r *Record) Avoids(address string, again bool) bool {
	if r == nil {
		return false
	}
	for i := range r.tried {
		if r.tried[i].address == address {
			return r.tried[i].sent || !again
		}
	}
	return false
}

// NoConnection reports whether the request could not connect to the address.
func (r *Record) NoConnection(address string) bool {
	return r.Avoids(address, false) && !r.Avoids(address, true)
}

// Tried calls the function for each upstream that was tried. Sent is whether
// something of the request may have reached it.
func (r *Record) Tried(f func(address string, sent bool)) {
	if r == nil {
		return
	}
	for _, t := range r.tried {
		f(t.address, t.sent)
	}
}

// Unsent reports whether the request has tried upstreams, and nothing of it was sent to
// any.
func (r *Record) Unsent() bool {
	return r != nil && len(r.tried) > 0 && !slices.ContainsFunc(r.tried, func(t try) bool { return t.sent })
}

// Failed returns how many attempts the request has had that failed, or that were
// answered where answers are retried.
func (r *Record) Failed() int {
	if r == nil {
		return 0
	}
	return r.failed
}

// FailedAt returns the instants at which the first and the latest of those failed, or
// were answered.
func (r *Record) FailedAt() (first, latest int64) { return r.first, r.latest }

// note adds an upstream to those tried.
func (r *Record) note(address string, sent bool) {
	r.latest = instant.Now()
	if r.failed++; r.failed == 1 {
		r.first = r.latest
	}
	i := slices.IndexFunc(r.tried, func(t try) bool { return t.address == address })
	if i < 0 {
		r.tried = append(r.tried, try{address, sent})
		return
	}
	r.tried[i].sent = r.tried[i].sent || sent
}

// carry keeps the pick until its attempt begins. It gives back the pick before it, if
// no attempt has followed that. If none follows this one either, it is given back when
// the request of the context ends; at once, if that has ended.
func (r *Record) carry(ctx context.Context, next picked) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.giveBack()
	r.picked = next
	switch {
	case next.pick == nil:
	case r.ended:
		next.pick.GiveBack()
		r.picked.pick = nil
	default:
		r.watch(ctx)
	}
}

// giveBack gives back the pick that no attempt has followed. r.mu is held.
func (r *Record) giveBack() {
	if r.picked.pick != nil {
		r.picked.pick.GiveBack()
	}
	r.picked = picked{}
}

// follow returns the pick of the attempt on the address. From now on, the attempt
// owns it. A pick of another address is given back.
func (r *Record) follow(address string) (p picked) {
	if r == nil {
		return p
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.picked.address == address {
		p, r.picked = r.picked, picked{}
	}
	r.giveBack()
	return p
}

// watch has end called when the request of the context ends. r.mu is held.
func (r *Record) watch(ctx context.Context) {
	if !r.watching {
		r.watching = true
		context.AfterFunc(ctx, r.end)
	}
}

// suspect keeps a failed attempt until its fault is known. A failure after something
// was sent is the upstream's only if another upstream answers the same request:
// a request on which every upstream fails must not eject them all.
func (r *Record) suspect(a *Attempt) {
	r.mu.Lock()
	ended := r.ended
	if !ended {
		if len(r.suspects) == 0 {
			a.transport.blaming.Add(1)
		}
		r.suspects = append(r.suspects, a)
		// Caddy does not tell which attempt is the last. If no other one answers, the
		// end of the request settles the fault.
		r.watch(a.Request)
	}
	r.mu.Unlock()
	if ended { // no other attempt follows
		a.Sink.Blame(Unknown)
	}
}

// Retried notes that the request is retried.
func (r *Record) Retried() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.alike = r.alike || len(r.suspects) > 0
}

// answered blames the suspects' upstreams: another upstream has answered the request.
func (r *Record) answered() {
	if r == nil {
		return
	}
	r.mu.Lock()
	suspects := r.take()
	r.alike = false
	r.mu.Unlock()
	for _, a := range suspects {
		a.Sink.Blame(Upstream)
	}
}

// take removes the suspects and returns them. r.mu is held.
func (r *Record) take() []*Attempt {
	suspects := r.suspects
	if len(suspects) > 0 {
		suspects[0].transport.blaming.Add(-1)
	}
	r.suspects = nil
	return suspects
}

// end is called when the request has ended or its client has gone. It gives back the
// pick that no attempt has followed, and settles the suspects' fault. If the request
// was retried, all attempts have failed alike: the fault is the request's, as it is where
// a retry was refused. If it could not be retried (a POST, say), the fault stays unknown.
func (r *Record) end() {
	r.mu.Lock()
	r.giveBack()
	r.ended = true
	suspects, fault := r.take(), Unknown
	if r.alike || r.refused || len(suspects) > 1 {
		fault = Request
	}
	r.mu.Unlock()
	for _, a := range suspects {
		a.Sink.Blame(fault)
	}
}

// forbid makes the record final: the request's body cannot be sent again.
func (r *Record) forbid() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.final = true
}

// Refuse has the request end with the error that it has, although it may be sent
// again. That no other upstream has answered it then proves nothing: the failures
// that are still to be blamed count for nothing.
func (r *Record) Refuse() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.final, r.refused = true, true
}

// Final reports whether the request must not be sent again.
func (r *Record) Final() bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.final
}

// recordOf returns the record under the key in the request's replacer; nil for none.
func recordOf(r *http.Request, key string) *Record {
	repl := request.Replacer(r)
	if repl == nil {
		return nil
	}
	value, _ := repl.Get(key)
	rec, _ := value.(*Record)
	return rec
}

// newRecordOf is recordOf; it makes the record if there is none.
func newRecordOf(r *http.Request, key string) *Record {
	if rec := recordOf(r, key); rec != nil {
		return rec
	}
	rec := new(Record)
	if repl := request.Replacer(r); repl != nil {
		repl.Set(key, rec)
	}
	return rec
}
