package pool

import (
	"math/rand/v2"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// Select picks one of the upstreams for the request; nil if there is none.
func (h *Handle) Select(upstreams reverseproxy.UpstreamPool, r *http.Request, w http.ResponseWriter) (picked *reverseproxy.Upstream) {
	p := h.pool
	q := newQuery(r, w)
	if len(upstreams) == 0 {
		if upstreams = p.lastKnown(r); upstreams == nil {
			q.release()
			return nil
		}
		q.stale = true
	}
	if o := p.observer; o != nil {
		q.fleet = p.fleet
		if IsRetry(r) {
			q.retryOf(triesOf(r, o.key), p.options.RetrySame)
			if q.ended {
				q.release()
				return nil
			}
		}
	}
	if w != nil && IsRetry(r) {
		p.undo(r, w.Header())
	}
	if w != nil && refusals.Load() {
		takeBackRetryAfter(r, w)
	}
	if i := h.pickPlain(upstreams, q); i >= 0 {
		picked = q.Upstreams[i]
	} else {
		picked = h.pickOrWait(upstreams, q)
	}
	q.release()
	return picked
}

// pickPlain picks for a first attempt where there is nothing to be heeded but the
// policy: the usual case, and the one that has to be fast. None: take the slow
// path.
func (h *Handle) pickPlain(upstreams []*reverseproxy.Upstream, q *Query) int {
	v := h.pool.static
	t := v.snapshot.Load().plain
	if t == nil || q.retry || !same(upstreams, v.upstreams) {
		return None
	}
	q.tier, q.Candidates, q.Upstreams = t, t.Candidates, t.upstreams
	return t.picker.Pick(q)
}

// pickOrWait picks, and waits for it in the queue if need be.
func (h *Handle) pickOrWait(upstreams reverseproxy.UpstreamPool, q *Query) (picked *reverseproxy.Upstream) {
	p, r := h.pool, q.Request
	if h.owner && p.line != nil {
		picked = h.selectInLine(upstreams, q)
	} else {
		picked, _ = h.selectNow(upstreams, q)
	}
	if picked != nil {
		p.observer.mark(r, p, picked.Dial)
	} else if r == nil || r.Context().Err() == nil { // else the client has gone, maybe from the queue
		p.logNone(upstreams, q.tries)
	}
	return picked
}

// selectNow picks without waiting. Where it picks none, it reports whether
// the request has to wait for one that is full.
func (h *Handle) selectNow(upstreams reverseproxy.UpstreamPool, q *Query) (picked *reverseproxy.Upstream, full bool) {
	q.look()
	v := h.pool.static
	s := v.snapshot.Load()
	q.view, q.listed = v, v.upstreams
	if same(upstreams, v.upstreams) {
		return h.pick(s, q)
	}
	if t := s.tierOf(upstreams); t != nil { // of a policy inside one inside of ours
		return h.pick(s.only(t), q)
	}
	return h.selectDynamic(upstreams, q)
}

// pick has the policy pick from the snapshot.
func (h *Handle) pick(s *Snapshot, q *Query) (picked *reverseproxy.Upstream, full bool) {
	if sessions := s.sessions[h]; sessions != nil {
		return h.pickInSession(s, q, sessions)
	}
	if q.waits("", false) {
		return nil, true
	}
	i, full := h.pickAny(s, q)
	if i < 0 {
		return nil, full
	}
	return q.Upstreams[i], full
}

// pickAny has the policy pick from the snapshot's tiers; where those have none for
// the request, it goes on to what is better than no upstream. It returns an index of
// the query's candidates.
func (h *Handle) pickAny(s *Snapshot, q *Query) (i int, full bool) {
	if i := h.probe(s, q); i >= 0 {
		return i, false
	}
	for {
		i, full := h.pass(s, q)
		if i < 0 || !q.gated || !h.owner || q.claim(i) {
			return i, full
		}
	}
}

// pass goes through the pool's upstreams in the order in which a request may have
// them. Full is whether it has to wait for one that is full.
func (h *Handle) pass(s *Snapshot, q *Query) (i int, full bool) {
	// Those in service that the request has not tried. A first attempt may be the
	// one that tests an upstream on probation.
	q.again, q.allowBusyProbation = false, s.unproven
	if i = h.from(s, q); i >= 0 {
		return i, false
	}
	if h.anyFull(s.tiers, q) {
		return None, true
	}
	// Those on probation, tested or not, and those that got room between the two
	// looks; then those that are ejected, or unhealthy by a check.
	q.allowBusyProbation = true
	if i = h.from(s, q); i >= 0 {
		return i, false
	}
	if i = h.fromReserve(s, q); i >= 0 {
		return i, false
	}
	if h.anyFull(s.reserve.open(q.retry), q) {
		return None, true
	}
	if !q.retry {
		return None, false
	}
	// Those that failed this request before anything was sent to them.
	q.again = true
	if i = h.from(s, q); i >= 0 {
		return i, false
	}
	if h.anyFull(s.tiers, q) {
		return None, true
	}
	return h.fromReserve(s, q), false
}

// maxProbing is how many candidates on probation a request looks at: they may be
// many, and all of them busy.
const maxProbing = 8

// probe picks a candidate on probation for a request that any upstream serves as
// well, and that Caddy will retry elsewhere if need be, unless retries are off.
// Without that, a policy that prefers proven upstreams might never test it.
func (h *Handle) probe(s *Snapshot, q *Query) int {
	if len(s.probing) == 0 || q.retry || !h.owner || q.Request == nil || q.Request.Method != http.MethodGet {
		return None
	}
	if _, keyed := h.Key(q.Request); keyed {
		return None
	}
	from := 0
	if len(s.probing) > maxProbing {
		from = rand.IntN(len(s.probing))
	}
	for n := range min(len(s.probing), maxProbing) {
		t := s.probing[(from+n)%len(s.probing)]
		q.enter(h, s.tiers[t.tier])
		if i := t.candidate; q.OK(i) && q.claim(i) {
			return i
		}
	}
	return None
}

// from asks the policy for one of the tier that the request falls on, and of the
// others where that has none left.
func (h *Handle) from(s *Snapshot, q *Query) int {
	if len(s.tiers) == 0 {
		return None
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
		q.enter(h, s.tiers[at])
		if i := h.ask(q); i >= 0 {
			return i
		}
	}
	return None
}

// draw returns the number that says which tier the request falls on.
func (h *Handle) draw(r *http.Request) uint32 {
	if key, ok := h.Key(r); ok {
		return key
	}
	return rand.Uint32()
}

// ask lets the policy's picker answer the query. Where those below its bound are not
// to be had, that does not count.
func (h *Handle) ask(q *Query) int {
	picker := q.tier.pickerOf(h)
	i := picker.Pick(q)
	if i < 0 && q.bound > 0 {
		q.ignoreBound = true
		i = picker.Pick(q)
	}
	return i
}
