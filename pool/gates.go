package pool

import "github.com/caddy-evenkeel/evenkeel/attempt"

// gate is one reason why a candidate may have no room for a request. The methods of
// its type are all there is of it.
type gate interface {
	// Needed reports whether a member in the state has to be asked.
	Needed(s *state) bool

	// Admits reports whether the i-th candidate has room for the request.
	Admits(q *Query, i int) bool

	// Take takes room of the i-th candidate, and notes that in the query's hold. It
	// returns false if another request has taken the room first.
	Take(q *Query, i int) bool

	// Undo gives back the room that the hold has taken.
	Undo(h *hold)
}

// gates are all that a pick has to pass, besides Caddy's own conditions.
var gates = [...]gate{limitGate{}, boundGate{}, probationGate{}, returnGate{}}

// hold is what a pick has taken of a candidate. It goes with the request to the attempt
// that follows, which gives back the rest at its end. If none follows, it is given back
// when the request ends or has its next pick.
type hold struct {
	member  *member
	slot    bool // of the limit of the address, until the attempt begins
	counted bool // among the requests in flight, until the attempt ends
	round   int  // number of the probation that the request tests, until its report; 0 for none

	returning *comeback // in flight to a member that has just come back, until the attempt ends; nil for not
}

// GiveBack implements [attempt.Pick].
func (h *hold) GiveBack() {
	for _, g := range gates {
		g.Undo(h)
	}
}

// gated reports whether a member in the state has to be asked.
func (s *state) gated() bool {
	for _, g := range gates {
		if g.Needed(s) {
			return true
		}
	}
	return false
}

// admits reports whether the candidate has room for the request.
func (q *Query) admits(i int) bool {
	for _, g := range gates {
		if !g.Admits(q, i) {
			return false
		}
	}
	return true
}

// claim takes the room that the i-th candidate has for the request, and keeps it in
// the query's hold. It returns false if another request has taken it first.
func (q *Query) claim(i int) bool {
	q.held = hold{member: q.Candidates[i].member}
	for _, g := range gates {
		if !g.Take(q, i) {
			q.held.GiveBack()
			return false
		}
	}
	return true
}

// pick returns a copy of the query's hold for the attempt that follows; nil if it holds
// nothing.
func (q *Query) pick() attempt.Pick {
	if !q.held.slot && !q.held.counted && q.held.round == 0 && q.held.returning == nil {
		return nil
	}
	held := q.held
	return &held
}
