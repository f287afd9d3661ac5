package pool

import (
	"cmp"
	"context"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
)

// Sessional is a picker that has requests of one session meet one upstream. It
// is asked to pick only for requests whose session has none, or none that may be
// picked.
type Sessional interface {
	Picker

	// Seat returns what the picker needs to know to tell which one of the
	// upstreams at these dial addresses a session is with. It is called when
	// their list is new.
	Seat(addresses []string) any

	// Session returns the session that the request belongs to. The seats are
	// what Seat has made.
	Session(q Query, seats any) Session

	// Settle notes that the request goes to the upstream at the given place of
	// the list; below zero, to none. It is called for every pick.
	Settle(q Query, seats any, s Session, place int)
}

// Session is that of a request.
type Session struct {
	Place  int  // of its upstream in the list; below zero if there is none yet
	Strict bool // better no upstream than another one
	Renew  bool // the client is to be told again, though the upstream is the same
}

// Giver is a picker that sets something on responses.
type Giver interface {
	// TakeBack removes from the header of the response what an earlier pick for
	// the request has set there. The header is nil where it is not at hand.
	TakeBack(r *http.Request, header http.Header)
}

// Learner is a picker that learns from what upstreams answer.
type Learner interface {
	// LearnFrom takes in the header of what the upstream at the address has
	// answered, in the context of the request.
	LearnFrom(ctx context.Context, address string, header http.Header)
}

// pickInSession picks the upstream that the request's session is with, weighted or
// not and on whatever level; any, where there is no session or that one cannot be
// had.
func (h *Handle) pickInSession(s *Snapshot, q Query, buffer *[]*reverseproxy.Upstream, members int) (*reverseproxy.Upstream, bool) {
	seats := s.seats[h.slot]
	session := h.sessional.Session(q, seats)
	own := ""
	if q.turn != nil && session.Place >= 0 && (session.Strict || s.apart(session.Place)) {
		own = s.members[session.Place].Address
	}
	if q.waits(own, own != "" && session.Strict) {
		h.sessional.Settle(q, seats, session, None)
		return nil, true
	}
	if session.Place >= 0 {
		u, full := h.meet(s, q, session, buffer, members)
		if u != nil {
			h.sessional.Settle(q, seats, session, session.Place)
			return u, false
		}
		if session.Strict {
			h.sessional.Settle(q, seats, session, None)
			return nil, full
		}
	}
	u, c, full := h.pickAny(s, q, buffer, members)
	place := None
	if c != nil {
		place = c.place
	}
	h.sessional.Settle(q, seats, session, place)
	return u, full
}

// meet returns the session's upstream, if it may be picked; else, whether it would
// do if it were not full.
func (h *Handle) meet(s *Snapshot, q Query, session Session, buffer *[]*reverseproxy.Upstream, members int) (u *reverseproxy.Upstream, full bool) {
	i := session.Place
	if !s.open[i] && !(session.Strict && s.ejected[i]) {
		return nil, false
	}
	q.tier, q.Candidates, q.Upstreams = nil, s.members, h.pool.static.upstreams
	if buffer != nil {
		q.Upstreams = (*buffer)[:members]
	}
	q.counted, q.guarded = h.pool.counting, true
	if session.Strict {
		q.again, q.pressed = true, true // there is nowhere else to go
	}
	if q.OK(i) && (!h.owner || q.claim(&q.Candidates[i], q.Upstreams[i])) {
		return q.Upstreams[i], false
	}
	return nil, h.pool.line != nil && q.full(i)
}

// innerInSession is pickInSession for a picker inside another one of ours: among
// the candidates of the query only.
func (h *Handle) innerInSession(q Query) int {
	seats := q.tier.seats[h.slot]
	session := h.sessional.Session(q, seats)
	i, found := slices.BinarySearchFunc(q.Candidates, session.Place, func(c Candidate, place int) int {
		return cmp.Compare(c.place, place)
	})
	if found = found && q.OK(i); !found {
		i = None
		if session.Place < 0 || !session.Strict {
			i = h.picker.Pick(q)
		}
	}
	place := None
	if i >= 0 {
		place = q.Candidates[i].place
	}
	h.sessional.Settle(q, seats, session, place)
	return i
}

// seat has the pickers that heed sessions know the view's members.
func (p *Pool) seat(v *view) {
	if !p.sessional {
		return
	}
	addresses := make([]string, len(v.members))
	for i, m := range v.members {
		addresses[i] = m.address
	}
	v.sessions = make([]any, len(p.pickers))
	for slot, picker := range p.pickers {
		if s, ok := picker.(Sessional); ok {
			v.sessions[slot] = s.Seat(addresses)
		}
	}
}

// admit notes which members may be met by their sessions: those that are well,
// drained or not, and those that get traffic anyhow.
func (p *Pool) admit(s *Snapshot, v *view, stands []standing) {
	if !p.sessional {
		return
	}
	s.seats = v.sessions
	s.members = make([]Candidate, len(v.members))
	s.open, s.ejected = make([]bool, len(v.members)), make([]bool, len(v.members))
	for i, m := range v.members {
		stand := &stands[i]
		s.members[i] = Candidate{
			Address: m.address, Latency: m.latency, who: m, place: i,
			limit: stand.limit, probation: stand.phase == probation,
		}
		well := stand.verdict == healthcheck.Healthy && !stand.maint
		s.open[i], s.ejected[i] = well && stand.phase != ejected, well && stand.phase == ejected
	}
	for _, t := range s.tiers {
		t.open(s.open)
	}
}

// open notes who may be met.
func (t *Tier) open(places []bool) {
	for _, c := range t.Candidates {
		places[c.place] = true
	}
}
