package pool

import (
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// Candidate is an upstream that may be picked.
type Candidate struct {
	Address string // dial address
	Weight  uint32 // above zero
	Latency *Latency

	member int // place among the view's members
}

// Snapshot is who may be picked at a time. It does not change; another one
// takes its place when something has.
type Snapshot struct {
	Candidates []Candidate

	// Upstreams of the candidates, in their order; nil where upstreams are
	// dynamic.
	upstreams []*reverseproxy.Upstream

	// What the pool's pickers have made of the candidates, by their slot.
	made []any
}

// Picker is an algorithm.
type Picker interface {
	// Build returns what picks need to know of the candidates, of which there
	// is at least one. Before is the snapshot before and what Build returned
	// for it; it is nil at first, and for upstreams never seen together.
	Build(next, before *Snapshot, made any) any

	// Pick returns an upstream that the query accepts; nil if there is none.
	Pick(q Query) *reverseproxy.Upstream
}

// Query is one request's choice among the candidates of a snapshot.
type Query struct {
	Candidates []Candidate
	Upstreams  []*reverseproxy.Upstream // of the candidates
	Made       any                      // by the picker's Build
	Request    *http.Request            // may be nil
	Writer     http.ResponseWriter      // may be nil

	tried *tried
	fleet *fleet
}

// OK reports whether the candidate may be picked for this request: Caddy must
// hold it to be available, and it was not tried yet.
func (q *Query) OK(i int) bool {
	u := q.Upstreams[i]
	return u.Available() && !q.tried.has(u.Dial)
}

// Any returns the first candidate from the given one on that may be picked,
// round the end; nil if there is none. It is what a picker falls back on when
// its own choices are all taken.
func (q *Query) Any(from int) *reverseproxy.Upstream {
	for n := range q.Upstreams {
		i := from + n
		if i >= len(q.Upstreams) {
			i -= len(q.Upstreams)
		}
		if q.OK(i) {
			return q.Upstreams[i]
		}
	}
	return nil
}

// Untried returns the upstreams that this request has not tried.
func (q *Query) Untried() []*reverseproxy.Upstream {
	if q.tried == nil {
		return q.Upstreams
	}
	var left []*reverseproxy.Upstream
	for _, u := range q.Upstreams {
		if !q.tried.has(u.Dial) {
			left = append(left, u)
		}
	}
	return left
}

// Latency returns how long the candidate is expected to take: see
// [Latency.Expect]. An estimate is believed for as long as given, counted to the
// latest attempt of the handler.
func (q *Query) Latency(i int, believed time.Duration, now func() time.Time) time.Duration {
	l := q.Candidates[i].Latency
	if q.fleet == nil {
		return l.Expect(0, 0, now)
	}
	return l.Expect(time.Duration(q.fleet.mean.Load()), q.fleet.written.Load()-int64(believed), now)
}

// Active returns the number of requests that Caddy has in flight to the
// candidate, from all handlers.
func (q *Query) Active(i int) int {
	if u := q.Upstreams[i]; u.Host != nil {
		return u.NumRequests()
	}
	return 0
}
