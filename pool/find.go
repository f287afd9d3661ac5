package pool

import "github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

// find sets the query's membership, that of the upstreams. It returns false if there
// are no upstreams.
func (h *Handle) find(upstreams []*reverseproxy.Upstream, q *Query) bool {
	p := h.pool
	ms := p.static
	q.membership, q.listed = ms, ms.upstreams
	if same(upstreams, ms.upstreams) {
		return true
	}
	stale := len(upstreams) == 0
	if stale {
		upstreams = p.lastKnown(q.Request)
		if upstreams == nil {
			return false
		}
	}
	if q.only = ms.snapshot.Load().tierOf(upstreams); q.only != nil {
		return true // the policy is inside one of Caddy's, which is inside ours
	}
	p.findDynamic(upstreams, q)
	if !stale && h.owner {
		p.source.keep(upstreams, q.Request, q.now(), maxListed*p.limit)
	}
	return true
}
