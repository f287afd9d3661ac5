package pool

import (
	"sync/atomic"
	"time"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
)

// returnGate lets an upstream that has come back, while requests wait for it, have few
// requests at first: 16 in flight until its first answer, and one more with each
// answer. So each request that it answers lets two go on, and what it takes doubles
// within the time of an answer. With each second that has passed since it came back it may
// have twice as many as at first, whatever it answers: long polls hold up no others. A
// request whose time to wait is over goes on all the same: an upstream is there.
type returnGate struct{}

// firstRequests is how many requests an upstream has in flight at most before its first
// answer.
const firstRequests = 16

// comeback is how many requests a member has in flight since it has come back, and how
// many it may have.
type comeback struct {
	began          int64 // instant
	most, inFlight atomic.Int64
}

func newReturn(now int64) *comeback {
	c := &comeback{began: now}
	c.most.Store(firstRequests)
	return c
}

// allowed returns how many requests the member may have at the instant.
func (c *comeback) allowed(now int64) int64 {
	seconds := min((now-c.began)/int64(time.Second), 30)
	return max(c.most.Load(), firstRequests<<seconds)
}

// open reports whether the member may have one more request.
func (c *comeback) open(now int64) bool { return c.inFlight.Load() < c.allowed(now) }

// Needed implements [gate].
func (returnGate) Needed(s *state) bool { return s.returning }

// Admits implements [gate].
func (returnGate) Admits(q *Query, i int) bool {
	c := q.Candidates[i].member.returning.Load()
	return c == nil || q.late || c.open(q.now())
}

// Take implements [gate].
func (returnGate) Take(q *Query, i int) bool {
	c := q.Candidates[i].member.returning.Load()
	if c == nil {
		return true
	}
	if c.inFlight.Add(1) > c.allowed(q.now()) && !q.late {
		c.inFlight.Add(-1)
		return false
	}
	q.held.returning = c
	return true
}

// Undo implements [gate].
func (returnGate) Undo(h *hold) {
	if h.returning != nil {
		h.returning.inFlight.Add(-1)
		h.returning = nil
	}
}

// answered lets the member of the hold have one more request. Once none waits, the gate
// is open for good.
func (returnGate) answered(p *Pool, h *hold) {
	if h == nil || h.returning == nil {
		return
	}
	h.returning.most.Add(1)
	if p.queue.Held() == 0 {
		p.endComeback(h.member, h.returning)
	}
}

// comeBack closes the gate of the member, which the plugin has just reached.
func (p *Pool) comeBack(m *member) {
	p.closeGate(m, instant.Now())
	p.changed()
}

// closeGate closes the gate of the member, which is back since the instant.
func (p *Pool) closeGate(m *member, now int64) {
	if m.returning.Swap(newReturn(now)) == nil {
		p.comebacks.Add(1)
	}
}

// resume closes the gate of the member, if requests wait for the end of a pause.
func (p *Pool) resume(m *member, now int64) {
	if p.queue.Held() == 0 {
		return
	}
	m.reached.Store(now)
	p.closeGate(m, now)
}

// endComeback opens the gate of the member, if it is the given one; nil for none.
func (p *Pool) endComeback(m *member, c *comeback) {
	if c != nil && m.returning.CompareAndSwap(c, nil) {
		p.comebacks.Add(-1)
		p.changed()
	}
}

// returning reports whether the i-th candidate would do, had it answered more requests
// since it has come back.
func (q *Query) returning(i int) bool {
	return q.would(i) && !returnGate{}.Admits(q, i)
}
