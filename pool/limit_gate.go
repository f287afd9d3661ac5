package pool

import "github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

// limitGate keeps each address within its limit of requests in flight, those of all
// handlers.
type limitGate struct{}

// Needed implements [gate]. Dynamic upstreams may also have a limit of Caddy's: see
// [Query.narrow].
func (limitGate) Needed(s *state) bool { return s.limit > 0 }

// Admits implements [gate].
func (limitGate) Admits(q *Query, i int) bool {
	c, u := &q.Candidates[i], q.Upstreams[i]
	limit := c.room(u)
	return limit == 0 || c.member.slots.Free(u, limit)
}

// Take implements [gate].
func (limitGate) Take(q *Query, i int) bool {
	c, u := &q.Candidates[i], q.Upstreams[i]
	limit := c.room(u)
	q.held.slot = limit > 0 && c.member.slots.Take(u, limit)
	return q.held.slot || limit == 0
}

// Undo implements [gate].
func (limitGate) Undo(h *hold) {
	if h.slot {
		h.slot = false
		h.member.slots.GiveBack()
	}
}

// begin notes that an attempt on the member has begun. Caddy counts it from now on, so
// its hold, which may be nil, no longer has a slot.
func (limitGate) begin(m *member, h *hold) {
	held := h != nil && h.slot
	if held {
		h.slot = false
	}
	m.slots.Begin(held)
}

// room returns how many requests the candidate may have at once; 0 for any number.
func (c *Candidate) room(u *reverseproxy.Upstream) int { return tighter(c.limit, u.MaxRequests) }

// full reports whether the i-th candidate could be picked if it had not reached its
// limit. A candidate on probation that has room is not full: no request waits for it.
func (q *Query) full(i int) bool {
	c, u := &q.Candidates[i], q.Upstreams[i]
	limit := c.room(u)
	return limit > 0 && q.would(i) && !c.member.slots.Free(u, limit)
}
