package pool

import (
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
)

// Candidate is an upstream that may be picked.
type Candidate struct {
	Address string  // dial address
	Weight  uint32  // above zero; to be compared within the tier
	Seat    int     // in the tier's level
	Share   float64 // of its configured weight, relative to who has the most of it: above zero, at most 1
	Latency *Latency

	who       *member
	heft      uint32 // of all candidates of its address
	place     int    // among the view's members
	limit     int    // of requests at once, by configuration and by its agent; 0 for none
	probation bool
}

// Tier is the candidates that come before all others or after them: those of one
// priority level, the degraded ones apart. It does not change.
type Tier struct {
	Candidates []Candidate
	Level      *Level

	level     int
	degraded  bool
	failing   bool                     // every attempt fails; they come after those that are ejected
	weight    float64                  // of all candidates
	tally     *tally                   // nil where requests in flight are not counted
	guarded   bool                     // not every candidate that Caddy has nothing against may be picked
	upstreams []*reverseproxy.Upstream // of the candidates; nil where upstreams are dynamic
	made      []any                    // what the pool's pickers have made of it, by their slot
	seats     []any                    // the snapshot's
}

// Level is all upstreams that have weight and one priority, whether they may be
// picked at present or not. It does not change while the upstreams stay the same.
type Level struct {
	Addresses []string
	Weights   []uint32 // as configured
}

// Snapshot is who may be picked at a time. It does not change; another one
// takes its place when something has.
type Snapshot struct {
	tiers     []*Tier  // in the order of preference, none of them empty
	bounds    []uint32 // of the draws that fall on each; nil if all fall on the first
	plain     *Tier    // the only one, if any of its candidates may be picked at any time; else nil
	unproven  bool     // all candidates are on probation
	panicking bool
	trials    []trial
	reserve   reserve

	// Only where a picker heeds sessions:
	seats   []any       // what those pickers have made of the view's members, by their slot
	members []Candidate // all of the view's
	open    []bool      // which of them sessions may meet
	ejected []bool      // which of the others strict sessions may: there is no other upstream for them
}

// only returns a snapshot of the tier alone.
func (s *Snapshot) only(t *Tier) *Snapshot {
	alone := &Snapshot{tiers: []*Tier{t}, seats: s.seats, members: s.members}
	if s.open != nil {
		alone.open, alone.ejected = make([]bool, len(s.open)), make([]bool, len(s.open))
		t.open(alone.open)
	}
	return alone
}

// trial is a candidate on probation, by the places of its tier and in it.
type trial struct{ tier, candidate int }

// tier returns the one that the draw falls on.
func (s *Snapshot) tier(draw uint32) int {
	for i, bound := range s.bounds {
		if draw < bound || bound == s.bounds[len(s.bounds)-1] {
			return i
		}
	}
	return 0
}

// used reports whether any draw falls on the tier.
func (s *Snapshot) used(tier int) bool {
	switch {
	case s.bounds == nil:
		return tier == 0
	case tier == 0:
		return s.bounds[0] > 0
	}
	return s.bounds[tier] > s.bounds[tier-1]
}

// try notes whom requests should be tried on.
func (s *Snapshot) try() {
	for i, t := range s.tiers {
		for n, c := range t.Candidates {
			if c.probation && s.used(i) {
				s.trials = append(s.trials, trial{i, n})
			}
		}
	}
}

// Picker is an algorithm.
type Picker interface {
	// Build returns what picks need to know of the tier. Before is the one in
	// its place in the snapshot before, and what Build returned for it; it is
	// nil where there was none.
	Build(next, before *Tier, made any) any

	// Pick returns the place of a candidate that the query accepts; below zero
	// if there is none.
	Pick(q Query) int
}

// Keyed is a picker that picks by something of the request.
type Keyed interface {
	// KeyOf returns the same number for requests that should meet the same
	// upstream: where traffic is split between levels, they go to the same. It
	// reports false for a request that any upstream serves as well.
	KeyOf(r *http.Request) (key uint32, ok bool)
}

// Query is one request's choice among the candidates of a tier.
type Query struct {
	Candidates []Candidate
	Upstreams  []*reverseproxy.Upstream // of the candidates
	Made       any                      // by the picker's Build
	Request    *http.Request            // may be nil
	Writer     http.ResponseWriter      // may be nil

	tier    *Tier
	view    *view // whose snapshot is picked from
	turn    *turn // in the queue; nil where nobody is known to wait
	tries   *tries
	retry   bool // an attempt has failed, or was answered and is to be repeated
	ended   bool // there must be no further attempt
	again   bool // a retry may go where an attempt failed before anything was sent
	fleet   *fleet
	at      int64 // instant of the pick, once it was asked for; 0 before
	guarded bool  // candidates have to be asked whether they may be picked
	stale   bool  // the upstreams are those that a source returned earlier
	pressed bool  // one on probation may be picked beside its one request
	counted bool  // picks count as requests in flight
	bound   float64
	unbound bool     // the bound does not count
	tighter *float64 // bound of a policy inside, which has picked; nil where there cannot be one
}

// now returns the instant of the pick, the same for all candidates.
func (q *Query) now() int64 {
	if q.at == 0 {
		q.at = instant.Now()
	}
	return q.at
}

// retryOf makes the query one of a request that has had attempts before.
func (q *Query) retryOf(t *tries, same bool) {
	if t == nil {
		return // the client has sent an absolute URL
	}
	q.retry, q.ended = true, t.over()
	t.retried()
	if !same {
		q.tries = t
	}
}

// IsRetry reports whether the request has had attempts before.
func (q *Query) IsRetry() bool { return q.retry }

// None is what pickers return where no candidate may be picked.
const None = -1

// OK reports whether the candidate may be picked for this request: Caddy must
// hold it to be available, and it was not tried yet.
func (q *Query) OK(i int) bool {
	u := q.Upstreams[i]
	return u.Available() && !q.tries.avoids(u.Dial, q.again) && (!q.guarded || q.admits(i))
}

// admits reports whether the candidate has room for the request.
func (q *Query) admits(i int) bool {
	c := &q.Candidates[i]
	if c.probation && !q.pressed && (q.retry || c.who.outlier.busy(q.now())) {
		return false // only first attempts test an upstream
	}
	if q.bound > 0 && c.who.load.is(q.now()) >= q.most(c) {
		return false
	}
	limit := c.room(q.Upstreams[i])
	return limit == 0 || c.who.slots.free(q.now(), q.Upstreams[i], limit)
}

// room returns how many requests the candidate takes at once; 0 for any number.
func (c *Candidate) room(u *reverseproxy.Upstream) int { return least(c.limit, u.MaxRequests) }

// full reports whether the candidate would do, had it not as many requests as it
// takes. One on probation that has room is none to be waited for.
func (q *Query) full(i int) bool {
	c, u := &q.Candidates[i], q.Upstreams[i]
	limit := c.room(u)
	return limit > 0 && u.Healthy() && !q.tries.avoids(u.Dial, q.again) && !c.who.slots.free(q.now(), u, limit)
}

// Any returns the first candidate from the given one on that may be picked,
// round the end; below zero if there is none. It is what a picker falls back on
// when its own choices are all taken.
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
	if q.tries == nil && !q.guarded {
		return q.Upstreams
	}
	var left []*reverseproxy.Upstream
	for i, u := range q.Upstreams {
		if !q.tries.avoids(u.Dial, q.again) && (!q.guarded || q.admits(i)) {
			left = append(left, u)
		}
	}
	return left
}

// Latency returns how long the candidate is expected to take: see
// [Latency.Expect]. An estimate is believed for as long as given, counted to the
// latest attempt of the handler.
func (q *Query) Latency(i int, believed time.Duration) time.Duration {
	l := q.Candidates[i].Latency
	if q.fleet == nil {
		return l.Expect(0, 0, q.now)
	}
	return l.Expect(time.Duration(q.fleet.mean.Load()), q.fleet.written.Load()-int64(believed), q.now)
}

// Noise returns within what the candidate's latency is uncertain: see
// [Latency.Noise].
func (q *Query) Noise(i int) time.Duration { return q.Candidates[i].Latency.Noise() }

// Active returns the number of requests that Caddy has in flight to the
// candidate, from all handlers.
func (q *Query) Active(i int) int { return active(q.Upstreams[i]) }

func active(u *reverseproxy.Upstream) int {
	if u.Host == nil {
		return 0
	}
	return u.NumRequests()
}
