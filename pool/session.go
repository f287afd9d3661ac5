package pool

import (
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
	"github.com/caddy-evenkeel/evenkeel/outlier"
	"github.com/caddy-evenkeel/evenkeel/queue"
)

// Sessions finds the sessions of requests among the upstreams of one membership. Its
// policy picks only for a request without a session, or whose session's upstream may
// not be picked.
type Sessions interface {
	// Find returns the session that the request belongs to.
	Find(q *Query) Session

	// Settle notes that the request goes to the member at the index; [None]: to no
	// member. It is called for every pick.
	Settle(q *Query, s Session, member int)
}

// Session is the session of a request.
type Session struct {
	Member int  // index of its upstream in the membership; [None] if there is none yet
	Strict bool // it goes to no other upstream
	Renew  bool // the client is to be told again, even if the upstream is the same
}

// sessionsByPolicy are the [Sessions] of one membership, by policy of the pool. Nil: no
// policy has sessions.
type sessionsByPolicy struct {
	own    Sessions             // of the pool's own policy; nil if it has none
	inside map[*Handle]Sessions // of the policies inside it
}

// of returns the Sessions of the policy; nil if it has none.
func (s *sessionsByPolicy) of(h *Handle) Sessions {
	switch {
	case s == nil:
		return nil
	case h.owner:
		return s.own
	}
	return s.inside[h]
}

// pickInSession picks the upstream of the request's session, whatever its weight and its
// level. If there is no session, or its upstream may not be picked, it picks any; none,
// if the session is strict.
func (h *Handle) pickInSession(s *Snapshot, q *Query, sessions Sessions) (*reverseproxy.Upstream, queue.Look) {
	session := sessions.Find(q)
	own := ""
	if q.turn != nil && session.Member >= 0 && (session.Strict || s.onlySessions(session.Member)) {
		own = s.members[session.Member].Address
	}
	if ahead, wait := q.waits(h.pool, own, own != "" && session.Strict); wait {
		sessions.Settle(q, session, None)
		return nil, ahead
	}
	if session.Member >= 0 {
		u, found := h.pickOwn(s, q, session)
		if u != nil {
			sessions.Settle(q, session, session.Member)
			return u, found
		}
		if session.Strict {
			sessions.Settle(q, session, None)
			return nil, found
		}
	}
	i, wait := h.pickAny(s, q)
	if i < 0 {
		sessions.Settle(q, session, None)
		return nil, queue.Look{Wait: wait}
	}
	sessions.Settle(q, session, q.Candidates[i].index)
	return q.Upstreams[i], queue.Look{}
}

// pickOwn picks the session's upstream; nil if it may not be picked. Found says then why
// the request has to wait for it.
func (h *Handle) pickOwn(s *Snapshot, q *Query, session Session) (u *reverseproxy.Upstream, found queue.Look) {
	i := session.Member
	if !s.open[i] && !(session.Strict && s.ejected[i]) {
		if session.Strict {
			found = h.pool.holdFor(s, s.members[i].member, q)
		}
		return nil, found
	}
	q.tier, q.Candidates, q.Upstreams = nil, s.members, q.listed
	q.counted, q.gated = h.pool.counting, true
	if session.Strict {
		q.again, q.allowBusyProbation = true, true // the request goes nowhere else
	}
	switch {
	case q.OK(i) && (!h.owner || q.claim(i)):
		return q.Upstreams[i], found
	case h.pool.options.Queue != nil && q.full(i):
		found.Wait = queue.AllFull
	case h.owner && h.pool.queue != nil && q.returning(i):
		found.Wait = queue.Returning
	}
	return nil, found
}

// holdFor says whether the request waits for the member, which is the only one that
// will do: until the time of the option hold has passed since it was lost.
func (p *Pool) holdFor(s *Snapshot, m *member, q *Query) (found queue.Look) {
	lost := m.lost.Load()
	if s.paused {
		lost = p.lose(q.membership, q.now())
	}
	if p.options.hold == nil || q.Request == nil || lost == 0 {
		return found
	}
	if until := lost + int64(time.Duration(p.options.hold.Duration)); until > q.now() {
		return queue.Look{Wait: queue.AllDown, Until: until}
	}
	return found
}

// makeSessions makes the membership's [Sessions].
func (p *Pool) makeSessions(ms *membership) {
	if !p.sessions {
		return
	}
	addresses := make([]string, len(ms.members))
	for i, m := range ms.members {
		addresses[i] = m.address
	}
	ms.sessions = &sessionsByPolicy{inside: make(map[*Handle]Sessions)}
	for _, h := range p.handles {
		switch find := h.features.Sessions; {
		case find == nil:
		case h.owner:
			ms.sessions.own = find(addresses)
		default:
			ms.sessions.inside[h] = find(addresses)
		}
	}
}

// openToSessions notes which members sessions may go to: those in service, drained
// or not, and all candidates of tiers.
func (p *Pool) openToSessions(s *Snapshot, ms *membership, states []state) {
	if !p.sessions {
		return
	}
	s.sessions = ms.sessions
	s.members = make([]Candidate, len(ms.members))
	s.open, s.ejected = make([]bool, len(ms.members)), make([]bool, len(ms.members))
	for i, m := range ms.members {
		state := &states[i]
		s.members[i] = Candidate{
			Address: m.address, Latency: m.latency, member: m, index: i,
			limit: state.limit, probation: state.phase == outlier.Probation,
		}
		well := state.verdict == healthcheck.Healthy && !state.maint && !state.lost && !s.paused
		s.open[i], s.ejected[i] = well && state.phase != outlier.Ejected, well && state.phase == outlier.Ejected
	}
	for _, t := range s.tiers {
		t.open(s.open)
	}
}

// open notes that sessions may go to the tier's candidates.
func (t *Tier) open(members []bool) {
	for _, c := range t.Candidates {
		members[c.index] = true
	}
}

// onlySessions reports whether only requests of its sessions go to the member at the
// index.
func (s *Snapshot) onlySessions(index int) bool {
	for _, t := range s.tiers {
		if _, found := slices.BinarySearchFunc(t.Candidates, index, Candidate.compareIndex); found {
			return false
		}
	}
	return true
}
