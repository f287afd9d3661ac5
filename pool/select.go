package pool

import (
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/request"
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
	if p.transport != nil {
		q.fleet = p.fleet
		if request.IsRetry(r) {
			q.retryOf(p.transport.Record(r), p.options.RetrySame)
			if q.ended {
				q.release()
				return nil
			}
		}
	}
	if w != nil && request.IsRetry(r) {
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
	if h.owner && p.queue != nil {
		picked = h.pickInTurn(upstreams, q)
	} else {
		picked, _ = h.look(upstreams, q)
	}
	if picked == nil {
		if r == nil || r.Context().Err() == nil { // else the client has gone, maybe from the queue
			p.logNone(upstreams, q.tried)
		}
	} else if held := q.pick(); held != nil || p.transport.Nested() {
		p.transport.Carry(r, p, picked.Dial, held)
	}
	return picked
}

// look picks without waiting. Where it picks none, it reports whether
// the request has to wait for one that is full.
func (h *Handle) look(upstreams reverseproxy.UpstreamPool, q *Query) (picked *reverseproxy.Upstream, full bool) {
	q.look()
	v := h.pool.static
	s := v.snapshot.Load()
	q.membership, q.listed = v, v.upstreams
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
	if sessions := s.sessions.of(h); sessions != nil {
		return h.pickInSession(s, q, sessions)
	}
	if q.waits(h.pool, "", false) {
		return nil, true
	}
	i, full := h.pickAny(s, q)
	if i < 0 {
		return nil, full
	}
	return q.Upstreams[i], full
}
