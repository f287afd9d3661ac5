package pool

import (
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/cache"
)

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

// findDynamic is find for upstreams that were not configured.
func (p *Pool) findDynamic(upstreams []*reverseproxy.Upstream, q *Query) {
	d, now := &p.dynamic, q.now()
	v := d.latest.Load()
	if v == nil || !v.item.UsedSince(now-int64(p.expiry)) || !v.fill(&q.buffers.listed, upstreams) {
		v = p.membershipOf(upstreams, now)
		v.fill(&q.buffers.listed, upstreams)
		d.show(v)
	}
	v.seen(now)
	if now-d.asked.Load() > int64(cache.Tick) {
		d.asked.Store(now)
	}
	q.membership, q.listed = v, q.buffers.listed
}
