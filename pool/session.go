package pool

import (
	"slices"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
	"github.com/caddy-evenkeel/evenkeel/outlier"
)

// Sessions finds the sessions of requests among the upstreams of one membership. A
// policy that has sessions is asked to pick only for requests whose session has no
// upstream, or none that may be picked.
type Sessions interface {
	// Find returns the session that the request belongs to.
	Find(q *Query) Session

	// Settle notes that the request goes to the member at the given index; [None]:
	// to none. It is called for every pick.
	Settle(q *Query, s Session, member int)
}

// Session is that of a request.
type Session struct {
	Member int  // index of its upstream in the membership; [None] if there is none yet
	Strict bool // better no upstream than another one
	Renew  bool // the client is to be told again, though the upstream is the same
}

// sessionsByPolicy are what finds sessions among the upstreams of one membership, of
// each policy of the pool that has some. Nil: none has.
type sessionsByPolicy struct {
	own    Sessions // the pool's own policy's; nil if it has none
	inside map[*Handle]Sessions
}

// of returns the policy's; nil if it has none.
func (s *sessionsByPolicy) of(h *Handle) Sessions {
	switch {
	case s == nil:
		return nil
	case h.owner:
		return s.own
	}
	return s.inside[h]
}

// pickInSession picks the upstream that the request's session is with, weighted or
// not and on whatever level; any, where there is no session or that one cannot be
// had.
func (h *Handle) pickInSession(s *Snapshot, q *Query, sessions Sessions) (*reverseproxy.Upstream, bool) {
	session := sessions.Find(q)
	own := ""
	if q.turn != nil && session.Member >= 0 && (session.Strict || s.apart(session.Member)) {
		own = s.members[session.Member].Address
	}
	if q.waits(h.pool, own, own != "" && session.Strict) {
		sessions.Settle(q, session, None)
		return nil, true
	}
	if session.Member >= 0 {
		u, full := h.meet(s, q, session)
		if u != nil {
			sessions.Settle(q, session, session.Member)
			return u, false
		}
		if session.Strict {
			sessions.Settle(q, session, None)
			return nil, full
		}
	}
	i, full := h.pickAny(s, q)
	if i < 0 {
		sessions.Settle(q, session, None)
		return nil, full
	}
	sessions.Settle(q, session, q.Candidates[i].index)
	return q.Upstreams[i], full
}

// meet returns the session's upstream, if it may be picked; else, whether it would
// do if it were not full.
func (h *Handle) meet(s *Snapshot, q *Query, session Session) (u *reverseproxy.Upstream, full bool) {
	i := session.Member
	if !s.open[i] && !(session.Strict && s.ejected[i]) {
		return nil, false
	}
	q.tier, q.Candidates, q.Upstreams = nil, s.members, q.listed
	q.counted, q.gated = h.pool.counting, true
	if session.Strict {
		q.again, q.allowBusyProbation = true, true // there is nowhere else to go
	}
	if q.OK(i) && (!h.owner || q.claim(i)) {
		return q.Upstreams[i], false
	}
	return nil, h.pool.queue != nil && q.full(i)
}

// locate has the policies that have sessions find them among the membership's members.
func (p *Pool) locate(ms *membership) {
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

// admit notes which members may be met by their sessions: those that are well,
// drained or not, and those that get traffic anyhow.
func (p *Pool) admit(s *Snapshot, ms *membership, states []state) {
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
		well := state.verdict == healthcheck.Healthy && !state.maint
		s.open[i], s.ejected[i] = well && state.phase != outlier.Ejected, well && state.phase == outlier.Ejected
	}
	for _, t := range s.tiers {
		t.open(s.open)
	}
}

// open notes which members may be met: the tier's candidates.
func (t *Tier) open(members []bool) {
	for _, c := range t.Candidates {
		members[c.index] = true
	}
}

// apart reports whether only its sessions may meet the member at the index.
func (s *Snapshot) apart(index int) bool {
	for _, t := range s.tiers {
		if _, found := slices.BinarySearchFunc(t.Candidates, index, Candidate.compareIndex); found {
			return false
		}
	}
	return true
}
