package pool

import (
	"slices"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// look picks without waiting. If it picks none, full is whether the request has to
// wait for an upstream that is full. A request that waits looks several times.
func (h *Handle) look(q *Query) (picked *reverseproxy.Upstream, full bool) {
	q.look()
	if q.membership.upstreams == nil && !h.pool.dynamic.keeps(q.membership) {
		h.pool.findDynamic(slices.Clone(q.listed), q) // the membership is no longer rebuilt
	}
	s := q.membership.snapshot.Load()
	if q.only != nil {
		s = s.only(q.only)
	}
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
