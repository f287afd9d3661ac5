package pool

import "github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

// find has the query pick from the membership of the upstreams. It returns false if
// there are none.
func (h *Handle) find(upstreams []*reverseproxy.Upstream, q *Query) bool {
	p := h.pool
	v := p.static
	q.membership, q.listed = v, v.upstreams
	if same(upstreams, v.upstreams) {
		return true
	}
	stale := len(upstreams) == 0
	if stale {
		upstreams = p.lastKnown(q.Request)
		if upstreams == nil {
			return false
		}
	}
	if q.only = v.snapshot.Load().tierOf(upstreams); q.only != nil {
		return true // of a policy inside one of Caddy's inside ours
	}
	p.findDynamic(upstreams, q)
	if !stale && h.owner {
		p.source.keep(upstreams, q.Request, q.now(), maxListed*p.limit)
	}
	return true
}
