package pool

import (
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

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
		if upstreams = p.lastKnown(q.Request); upstreams == nil {
			if h.owner && !p.fixed && !p.source.byRequest { // clients may ask for what there is not
				p.holdForSource(q)
			}
			return false
		}
	}
	if q.only = ms.snapshot.Load().tierOf(upstreams); q.only != nil {
		return true // the policy is inside one of Caddy's, which is inside ours
	}
	p.findDynamic(upstreams, q)
	if !stale && h.owner {
		if p.source.emptySince.Load() != 0 {
			p.source.emptySince.Store(0)
		}
		p.source.keep(upstreams, q.Request, q.now(), maxListed*p.limit)
	}
	return true
}

// sourcePause is how long a request waits before Caddy asks a source again that has
// returned no upstreams, as often as Caddy does: nearly the default of hold, in all.
const sourcePause = 700 * time.Millisecond

// holdForSource has the request wait a while before it gets no upstream, so that Caddy
// asks its source again: until the time of the option hold has passed since the source
// has returned none. As many wait as hold lets.
func (p *Pool) holdForSource(q *Query) {
	o, now := p.options.hold, q.now()
	if o == nil || q.Request == nil {
		return
	}
	p.source.emptySince.CompareAndSwap(0, now)
	left := time.Duration(p.source.emptySince.Load()-now) + time.Duration(o.Duration)
	if left <= 0 || p.source.waiting.Add(1) > int64(o.Requests) {
		if left > 0 {
			p.source.waiting.Add(-1)
		}
		return
	}
	defer p.source.waiting.Add(-1)
	timer := time.NewTimer(min(sourcePause, left))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-q.Request.Context().Done():
	}
}
