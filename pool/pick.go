package pool

import (
	"math/rand/v2"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
)

// Select picks one of the upstreams for the request; nil if there is none.
func (h *Handle) Select(upstreams reverseproxy.UpstreamPool, r *http.Request, w http.ResponseWriter) *reverseproxy.Upstream {
	p := h.pool
	q := Query{Request: r, Writer: w}
	if len(upstreams) == 0 {
		if upstreams = p.lastKnown(r); upstreams == nil {
			return nil
		}
		q.stale = true
	}
	if o := p.observer; o != nil {
		q.fleet = p.fleet
		if IsRetry(r) {
			q.retryOf(triesOf(r, o.key), p.options.RetrySame)
			if q.ended {
				return nil
			}
		}
	}
	if w != nil && IsRetry(r) {
		for _, g := range p.givers {
			g.TakeBack(r, w.Header())
		}
	}
	if w != nil && refusals.Load() {
		takeBackRetryAfter(r, w)
	}
	if i := h.pickPlain(upstreams, &q); i >= 0 {
		return q.Upstreams[i]
	}
	var picked *reverseproxy.Upstream
	if h.owner && p.line != nil {
		picked = h.selectInLine(upstreams, q)
	} else {
		picked, _ = h.selectNow(upstreams, q)
	}
	if picked == nil {
		if r == nil || r.Context().Err() == nil { // else the client has gone, maybe from the queue
			p.logNone(upstreams, q.tries)
		}
	} else {
		p.observer.mark(r, p, picked.Dial)
	}
	return picked
}

// pickPlain picks for a first attempt where there is nothing to be heeded but the
// policy: the usual case, and the one that has to be fast. Below zero, the rest of
// the way has to be gone.
func (h *Handle) pickPlain(upstreams []*reverseproxy.Upstream, q *Query) int {
	v := h.pool.static
	s := v.snapshot.Load()
	if s.plain == nil || q.retry || !same(upstreams, v.upstreams) {
		return None
	}
	q.tier, q.Candidates, q.Upstreams, q.Made = s.plain, s.plain.Candidates, s.plain.upstreams, s.plain.made[h.slot]
	return h.picker.Pick(*q)
}

// selectNow picks without waiting. Where it picks nobody, it reports whether
// somebody has to be waited for: one who is full.
func (h *Handle) selectNow(upstreams reverseproxy.UpstreamPool, q Query) (picked *reverseproxy.Upstream, full bool) {
	v := h.pool.static
	s := v.snapshot.Load()
	q.view = v
	if same(upstreams, v.upstreams) {
		return h.pick(s, q, nil, 0)
	}
	if t := s.tierOf(upstreams); t != nil { // of a policy inside one inside of ours
		return h.pick(s.only(t), q, nil, 0)
	}
	return h.selectDynamic(upstreams, q)
}

// pick has the picker pick from the snapshot. Dynamic upstreams are in the
// buffer, in the order of the view's members.
func (h *Handle) pick(s *Snapshot, q Query, buffer *[]*reverseproxy.Upstream, members int) (picked *reverseproxy.Upstream, full bool) {
	if h.sessional != nil && s.seats != nil {
		return h.pickInSession(s, q, buffer, members)
	}
	if q.waits("", false) {
		return nil, true
	}
	picked, _, full = h.pickAny(s, q, buffer, members)
	return picked, full
}

// pickAny has the picker pick from the snapshot's tiers; where those have none for
// the request, it goes on to what is better than no upstream.
func (h *Handle) pickAny(s *Snapshot, q Query, buffer *[]*reverseproxy.Upstream, members int) (u *reverseproxy.Upstream, c *Candidate, full bool) {
	if u, c := h.probe(s, &q, buffer, members); u != nil {
		return u, c, false
	}
	for {
		u, c, full = h.pass(s, &q, buffer, members)
		if u == nil || !q.guarded || !h.owner || q.claim(c, u) {
			return u, c, full
		}
	}
}

// pass goes through the pool's upstreams in the order in which a request may have
// them. Full is whether it has to wait for one that is full.
func (h *Handle) pass(s *Snapshot, q *Query, buffer *[]*reverseproxy.Upstream, members int) (u *reverseproxy.Upstream, c *Candidate, full bool) {
	// Those in service that the request has not tried. A first attempt may be the
	// one that tests an upstream on probation.
	q.again, q.pressed = false, s.unproven
	if u, c = h.from(s, q, buffer, members); u != nil {
		return u, c, false
	}
	if h.anyFull(s.tiers, q, buffer, members) {
		return nil, nil, true
	}
	// Those on probation, tested or not, and those that got room between the two
	// looks; then those that are ejected, or unhealthy by a check.
	q.pressed = true
	if u, c = h.from(s, q, buffer, members); u != nil {
		return u, c, false
	}
	if u, c = h.fromReserve(s, q, buffer, members); u != nil {
		return u, c, false
	}
	if h.anyFull(s.reserve.open(q.retry), q, buffer, members) {
		return nil, nil, true
	}
	if !q.retry {
		return nil, nil, false
	}
	// Those that failed this request before anything was sent to them.
	q.again = true
	if u, c = h.from(s, q, buffer, members); u != nil {
		return u, c, false
	}
	if h.anyFull(s.tiers, q, buffer, members) {
		return nil, nil, true
	}
	u, c = h.fromReserve(s, q, buffer, members)
	return u, c, false
}

// maxTrials is how many on probation a request looks at: they may be many, and all
// of them busy.
const maxTrials = 8

// probe picks a candidate on probation for a request that is as well served by
// any, and that Caddy will try elsewhere if need be, unless retries are off.
// Without that, a policy that prefers the proven might never give one a chance.
func (h *Handle) probe(s *Snapshot, q *Query, buffer *[]*reverseproxy.Upstream, members int) (*reverseproxy.Upstream, *Candidate) {
	if len(s.trials) == 0 || q.retry || !h.owner || q.Request == nil || q.Request.Method != http.MethodGet {
		return nil, nil
	}
	if _, keyed := h.key(q.Request); keyed {
		return nil, nil
	}
	from := 0
	if len(s.trials) > maxTrials {
		from = rand.IntN(len(s.trials))
	}
	for n := range min(len(s.trials), maxTrials) {
		t := s.trials[(from+n)%len(s.trials)]
		h.enter(q, s.tiers[t.tier], buffer, members)
		if i := t.candidate; q.OK(i) && q.claim(&q.Candidates[i], q.Upstreams[i]) {
			return q.Upstreams[i], &q.Candidates[i]
		}
	}
	return nil, nil
}

// from asks the picker for one of the tier that the request falls on, and of the
// others where that has none left.
func (h *Handle) from(s *Snapshot, q *Query, buffer *[]*reverseproxy.Upstream, members int) (*reverseproxy.Upstream, *Candidate) {
	if len(s.tiers) == 0 {
		return nil, nil
	}
	first := 0
	if s.bounds != nil {
		first = s.tier(h.draw(q.Request))
	}
	for n := -1; n < len(s.tiers); n++ {
		at := n
		if n < 0 {
			at = first
		} else if n == first {
			continue
		}
		h.enter(q, s.tiers[at], buffer, members)
		if i := h.ask(q); i >= 0 {
			return q.Upstreams[i], &q.Candidates[i]
		}
	}
	return nil, nil
}

// draw returns the number that says which tier the request falls on.
func (h *Handle) draw(r *http.Request) uint32 {
	if key, ok := h.key(r); ok {
		return key
	}
	return rand.Uint32()
}

// key returns what the picker picks by, if that is something of the request.
func (h *Handle) key(r *http.Request) (uint32, bool) {
	if keyed, ok := h.picker.(Keyed); ok {
		return keyed.KeyOf(r)
	}
	return 0, false
}

// enter makes the query one of the tier.
func (h *Handle) enter(q *Query, t *Tier, buffer *[]*reverseproxy.Upstream, members int) {
	q.tier, q.Candidates, q.Made = t, t.Candidates, nil
	if t.made != nil {
		q.Made = t.made[h.slot]
	}
	q.counted, q.bound, q.unbound = h.pool.counting, h.bound, false
	q.guarded = t.guarded || q.counted
	if buffer == nil {
		q.Upstreams = t.upstreams
	} else {
		var limited bool
		q.Upstreams, limited = narrow(t, buffer, members)
		q.guarded = q.guarded || limited
	}
}

// Inner asks the picker for an answer to a query that the policy around it has
// got.
func (h *Handle) Inner(q Query) int {
	q.Made = q.tier.made[h.slot]
	if h.sessional != nil {
		return h.innerInSession(q)
	}
	if h.bound > 0 && (q.bound == 0 || h.bound < q.bound) {
		tighter := q
		tighter.bound = h.bound
		if i := h.picker.Pick(tighter); i >= 0 {
			*q.tighter = h.bound
			return i
		}
	}
	return h.picker.Pick(q)
}

// ask lets the picker answer the query. Where those below its bound are not to be
// had, that does not count.
func (h *Handle) ask(q *Query) int {
	if h.pool.innerBound {
		q.tighter = new(float64)
	}
	i := h.picker.Pick(*q)
	if i < 0 && q.bound > 0 {
		q.unbound = true
		i = h.picker.Pick(*q)
	}
	return i
}

// claim takes the place that the pick has on its candidate, where places are
// counted. It reports false if another request was faster.
func (q *Query) claim(c *Candidate, u *reverseproxy.Upstream) bool {
	now := instant.Now()
	limit := c.room(u)
	switch {
	case limit > 0 && !c.who.slots.reserve(now, u, limit):
		return false
	case q.counted && !c.who.load.pick(now, q.most(c)):
	case c.probation && !c.who.outlier.claim(now) && !q.pressed:
		if q.counted {
			c.who.load.unpick(now)
		}
	default:
		return true
	}
	if limit > 0 {
		c.who.slots.giveBack(now)
	}
	return false
}
