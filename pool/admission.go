package pool

import (
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// admits reports whether the candidate has room for the request.
func (q *Query) admits(i int) bool {
	c := &q.Candidates[i]
	if c.probation && !q.allowBusyProbation && (q.retry || c.member.outlier.busy(q.now())) {
		return false // only first attempts test an upstream
	}
	if q.bound > 0 && c.member.load.is(q.now()) >= q.most(c) {
		return false
	}
	limit := c.room(q.Upstreams[i])
	return limit == 0 || c.member.slots.free(q.now(), q.Upstreams[i], limit)
}

// room returns how many requests the candidate takes at once; 0 for any number.
func (c *Candidate) room(u *reverseproxy.Upstream) int { return least(c.limit, u.MaxRequests) }

// full reports whether the candidate would do, had it not as many requests as it
// takes. One on probation that has room is none to be waited for.
func (q *Query) full(i int) bool {
	c, u := &q.Candidates[i], q.Upstreams[i]
	limit := c.room(u)
	return limit > 0 && u.Healthy() && !q.tries.avoids(u.Dial, q.again) && !c.member.slots.free(q.now(), u, limit)
}

// anyFull reports whether there is a queue, and one of the tiers has a candidate that
// could be picked if it had not as many requests as it takes.
func (h *Handle) anyFull(tiers []*Tier, q *Query) bool {
	if h.pool.line == nil {
		return false
	}
	for _, t := range tiers {
		q.enter(h, t)
		for i := range q.Candidates {
			if q.full(i) {
				return true
			}
		}
	}
	return false
}

// claim takes the slot that the i-th candidate has for the request, where slots are
// counted. It reports false if another request was faster.
func (q *Query) claim(i int) bool {
	c, u, now := &q.Candidates[i], q.Upstreams[i], q.now()
	limit := c.room(u)
	switch {
	case limit > 0 && !c.member.slots.reserve(now, u, limit):
		return false
	case q.counted && !c.member.load.pick(now, q.most(c)):
	case c.probation && !c.member.outlier.claim(now) && !q.allowBusyProbation:
		if q.counted {
			c.member.load.unpick(now)
		}
	default:
		return true
	}
	if limit > 0 {
		c.member.slots.giveBack(now)
	}
	return false
}
