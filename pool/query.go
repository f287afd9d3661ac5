package pool

import (
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/attempt"
	"github.com/caddy-evenkeel/evenkeel/endpoint"
	"github.com/caddy-evenkeel/evenkeel/internal/instant"
)

// Query is one request's choice among the candidates of a tier. It is reused when
// the pick is over.
type Query struct {
	asked
	choice
	admission
	buffers buffers
}

// asked is what a query is asked for. It is the same for all tiers.
type asked struct {
	Request *http.Request       // may be nil
	Writer  http.ResponseWriter // may be nil

	fleet *fleet          // nil where no attempts are observed
	tried *attempt.Record // upstreams that are to be avoided; nil for none
	retry bool            // an attempt has failed, or was answered and is to be repeated
	ended bool            // there must be no further attempt
	turn  *turn           // in the queue; nil where no request is known to wait
	at    int64           // instant of the look at the upstreams, once it was asked for; 0 before
}

// choice is what a query chooses from.
type choice struct {
	Candidates []Candidate
	Upstreams  []*reverseproxy.Upstream // of the candidates

	tier       *Tier                    // nil where the candidates are all members
	membership *membership              // whose snapshot is picked from
	listed     []*reverseproxy.Upstream // of the membership's members
	only       *Tier                    // pick from this tier alone; nil for from all
}

// admission is which candidates a query accepts.
type admission struct {
	gated   bool // candidates have to be asked whether they have room
	counted bool // picks count as requests in flight

	again              bool // a retry may go where an attempt failed before anything was sent
	allowBusyProbation bool // one on probation may be picked beside its one request

	bound       float64 // times its fair share that a candidate may have in flight; 0 for any number
	ignoreBound bool
	innerBound  float64 // the tighter one of a policy inside, which has picked; 0 for none

	held hold // what the pick has taken
}

// buffers are where a query has its dynamic upstreams.
type buffers struct{ listed, narrowed []*reverseproxy.Upstream }

var queries = sync.Pool{New: func() any { return new(Query) }}

func newQuery(r *http.Request, w http.ResponseWriter) *Query {
	q := queries.Get().(*Query)
	q.Request, q.Writer = r, w
	return q
}

// release ends the use of the query.
func (q *Query) release() {
	q.asked, q.choice, q.admission = asked{}, choice{}, admission{}
	if len(q.buffers.listed) > 0 {
		clear(q.buffers.listed)
		clear(q.buffers.narrowed)
		q.buffers = buffers{q.buffers.listed[:0], q.buffers.narrowed[:0]}
	}
	queries.Put(q)
}

// now returns the instant of the look, the same for all candidates.
func (q *Query) now() int64 {
	if q.at == 0 {
		q.at = instant.Now()
	}
	return q.at
}

// look begins a look at the upstreams in their order of preference. A request that
// waits looks several times.
func (q *Query) look() { q.at, q.admission = 0, admission{} }

// enter has the query choose from the tier.
func (q *Query) enter(h *Handle, t *Tier) {
	q.tier, q.Candidates = t, t.Candidates
	q.counted, q.bound, q.ignoreBound, q.innerBound = h.pool.counting, h.features.Bound, false, 0
	q.gated = t.gated || q.counted
	if q.Upstreams = t.upstreams; q.Upstreams == nil {
		q.narrow()
	}
}

// narrow finds the tier's upstreams among those listed.
func (q *Query) narrow() {
	b := &q.buffers
	clear(b.narrowed)
	b.narrowed = slices.Grow(b.narrowed[:0], len(q.Candidates))[:len(q.Candidates)]
	for i := range q.Candidates {
		u := q.listed[q.Candidates[i].index]
		b.narrowed[i] = u
		q.gated = q.gated || u.MaxRequests > 0
	}
	q.Upstreams = b.narrowed
}

// retryOf makes the query one of a request that has had attempts before.
func (q *Query) retryOf(rec *attempt.Record, same bool) {
	if rec == nil {
		return // the client has sent an absolute URL
	}
	q.retry, q.ended = true, rec.Final()
	rec.Retried()
	if !same {
		q.tried = rec
	}
}

// IsRetry reports whether the request has had attempts before.
func (q *Query) IsRetry() bool { return q.retry }

// OK reports whether the candidate may be picked for this request: Caddy must
// hold it to be available, and it was not tried yet.
func (q *Query) OK(i int) bool {
	u := q.Upstreams[i]
	return u.Available() && !q.tried.Avoids(u.Dial, q.again) && (!q.gated || q.admits(i))
}

// Any returns the first candidate from the given one on that may be picked,
// round the end; [None] if there is none. It is what a picker falls back on when
// its own choices are all taken.
func (q *Query) Any(from int) int {
	for n := range q.Upstreams {
		i := from + n
		if i >= len(q.Upstreams) {
			i -= len(q.Upstreams)
		}
		if q.OK(i) {
			return i
		}
	}
	return None
}

// Acceptable returns the upstreams that may be picked as far as the pool is
// concerned, for policies that do not ask [Query.OK].
func (q *Query) Acceptable() []*reverseproxy.Upstream {
	if q.tried == nil && !q.gated {
		return q.Upstreams
	}
	var left []*reverseproxy.Upstream
	for i, u := range q.Upstreams {
		if !q.tried.Avoids(u.Dial, q.again) && (!q.gated || q.admits(i)) {
			left = append(left, u)
		}
	}
	return left
}

// Latency returns how long the candidate is expected to take: see
// [Latency.Expect]. An estimate is believed for as long as given, counted to the
// latest attempt of the handler.
func (q *Query) Latency(i int, believed time.Duration) time.Duration {
	c := &q.Candidates[i]
	if c.inFlight == nil || q.fleet == nil {
		return c.Latency.Expect(0, 0, 0, q.now)
	}
	return c.Latency.Expect(time.Duration(q.fleet.mean.Load()), q.fleet.written.Load()-int64(believed), c.inFlight.Oldest(), q.now)
}

// Noise returns within what the candidate's latency is uncertain: see
// [Latency.Noise].
func (q *Query) Noise(i int) time.Duration { return q.Candidates[i].Latency.Noise() }

// Active returns the number of requests that Caddy has in flight to the
// candidate, from all handlers.
func (q *Query) Active(i int) int { return endpoint.Active(q.Upstreams[i]) }
