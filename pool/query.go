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

// Query is one pick for a request among the candidates of a tier. It is reused
// afterwards.
type Query struct {
	asked
	choice
	admission
	buffers buffers
	slow    bool // more than a plain pick has used it: all has to be reset
}

// asked is what a query is about. It is the same for all tiers.
type asked struct {
	Request *http.Request       // may be nil
	Writer  http.ResponseWriter // may be nil

	fleet   *fleet          // nil where no attempts are observed
	tried   *attempt.Record // upstreams that are to be avoided; nil for none
	retry   bool            // the request has had an attempt before
	ended   bool            // there must be no further attempt
	extra   bool            // the budget has granted the attempt
	why     reason          // there is no upstream
	refused bool            // the response says why there is no upstream
	moved   bool            // the request waits no more, so that Caddy asks its source again
	late    bool            // the request has waited for its time, and an upstream is back
	turn    *turn           // in the queue; nil where no request waits
	holds   bool            // the request waits for an upstream that it could not connect to, and does not try blindly again
	at      int64           // instant of the look at the upstreams; 0 until it is needed
}

// choice is what a query chooses from.
type choice struct {
	Candidates []Candidate
	Upstreams  []*reverseproxy.Upstream // of the candidates

	tier       *Tier                    // nil where the candidates are all members
	membership *membership              // whose snapshot is picked from
	listed     []*reverseproxy.Upstream // of the membership's members
	only       *Tier                    // the one tier to pick from; nil for all
}

// admission is which candidates a query accepts.
type admission struct {
	gated   bool // the gates have to be asked whether a candidate has room
	counted bool // picks count as requests in flight

	again              bool // a retry may go where an attempt failed before anything was sent
	allowBusyProbation bool // a candidate on probation may be picked beside its one request

	bound       float64 // of a candidate's requests in flight, times its fair share; 0 for none
	ignoreBound bool
	innerBound  float64 // the tighter bound of a policy inside that has picked; 0 for none

	held hold // what the pick has taken
}

// buffers hold the dynamic upstreams of a query. They are reused with it.
type buffers struct{ listed, narrowed []*reverseproxy.Upstream }

var queries = sync.Pool{New: func() any { return new(Query) }}

func newQuery(r *http.Request, w http.ResponseWriter) *Query {
	q := queries.Get().(*Query)
	q.Request, q.Writer = r, w
	return q
}

// release ends the use of the query.
func (q *Query) release() {
	q.Request, q.Writer, q.at = nil, nil, 0
	if q.slow {
		q.asked, q.choice, q.admission, q.slow = asked{}, choice{}, admission{}, false
	}
	if len(q.buffers.listed) > 0 {
		clear(q.buffers.listed)
		clear(q.buffers.narrowed)
		q.buffers = buffers{q.buffers.listed[:0], q.buffers.narrowed[:0]}
	}
	queries.Put(q)
}

// now returns the instant of the look: the same for all candidates.
func (q *Query) now() int64 {
	if q.at == 0 {
		q.at = instant.Now()
	}
	return q.at
}

// look begins a look at the upstreams. A request that waits looks several times.
func (q *Query) look() { q.at, q.admission = 0, admission{} }

// enter has the query choose from the tier.
func (q *Query) enter(h *Handle, t *Tier) {
	q.tier, q.Candidates = t, t.Candidates
	q.counted, q.bound, q.ignoreBound, q.innerBound = h.pool.counting, h.features.Bound, false, 0
	q.gated = t.gated || q.counted || h.pool.comebacks.Load() > 0 // the snapshot may be older
	if q.Upstreams = t.upstreams; q.Upstreams == nil {
		q.narrow()
	}
}

// narrow sets the query's upstreams to those of its candidates, which are dynamic.
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

// retryOf makes the query one for a retry. The request may have so many attempts in all
// (0: any number); more only for so long since the first one failed, while nothing was
// sent. Same is whether it may go to an upstream that was tried.
func (q *Query) retryOf(rec *attempt.Record, most int, more time.Duration, same bool) {
	if rec == nil {
		return // the client has sent an absolute URL
	}
	q.retry = true
	q.ended = rec.Final()
	if most > 0 && rec.Failed() >= most {
		first, _ := rec.FailedAt()
		q.ended = q.ended || !rec.Unsent() || q.now()-first >= int64(more)
	}
	rec.Retried()
	if !same {
		q.tried = rec
	}
}

// IsRetry reports whether the request has had attempts before.
func (q *Query) IsRetry() bool { return q.retry }

// OK reports whether the candidate may be picked for this request: it is available for
// Caddy, untried by the request, and has room.
func (q *Query) OK(i int) bool {
	u := q.Upstreams[i]
	return u.Available() && !q.avoids(i) && (!q.gated || q.admits(i))
}

// would reports whether the i-th candidate would do for the request, if it had room.
func (q *Query) would(i int) bool { return q.Upstreams[i].Healthy() && !q.avoids(i) }

// avoids reports whether the request has tried the candidate. Where requests are held,
// it may go there again once the plugin could connect to it: any number of times, where
// nothing was sent; once, where its first attempt was, and the upstream was gone since.
func (q *Query) avoids(i int) bool {
	if q.tried == nil {
		return false
	}
	dial := q.Upstreams[i].Dial
	if !q.again || !q.holds {
		return q.tried.Avoids(dial, q.again)
	}
	m := q.Candidates[i].member
	_, failed := q.tried.FailedAt()
	if m.reached.Load() <= failed {
		return q.tried.Avoids(dial, false)
	}
	return q.tried.Avoids(dial, true) && !(m.gone.Load() >= failed && q.tried.Failed() == 1)
}

// Any returns the first candidate that may be picked, from the given one on and over the
// end; [None] if there is none. A picker falls back on it when none of its own choices
// may be picked.
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

// Acceptable returns the upstreams that the pool lets be picked. It is for policies
// that do not ask [Query.OK]; Caddy's own conditions are not checked.
func (q *Query) Acceptable() []*reverseproxy.Upstream {
	if q.tried == nil && !q.gated {
		return q.Upstreams
	}
	var left []*reverseproxy.Upstream
	for i, u := range q.Upstreams {
		if !q.avoids(i) && (!q.gated || q.admits(i)) {
			left = append(left, u)
		}
	}
	return left
}

// Latency returns the latency to expect of the candidate: see [Latency.Expect]. The
// estimate of an idle candidate counts if it is no older than believed, from the latest
// sample of the pool.
func (q *Query) Latency(i int, believed time.Duration) time.Duration {
	c := &q.Candidates[i]
	if c.inFlight == nil || q.fleet == nil {
		return c.Latency.Expect(0, 0, 0, q.now)
	}
	return c.Latency.Expect(time.Duration(q.fleet.mean.Load()), q.fleet.written.Load()-int64(believed), c.inFlight.Oldest(), q.now)
}

// Noise returns the noise of the candidate's latency: see [Latency.Noise].
func (q *Query) Noise(i int) time.Duration { return q.Candidates[i].Latency.Noise() }

// Active returns the number of requests that Caddy has in flight to the
// candidate, from all handlers.
func (q *Query) Active(i int) int { return endpoint.Active(q.Upstreams[i]) }
