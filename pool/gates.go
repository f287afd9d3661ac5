package pool

import "github.com/caddy-evenkeel/evenkeel/attempt"

// gate is a reason for which a candidate may have no room for a request. All that
// concerns it is in the methods of its type.
type gate interface {
	// Needed reports whether a member in the state has to be asked.
	Needed(s *state) bool

	// Admits reports whether the i-th candidate has room for the request.
	Admits(q *Query, i int) bool

	// Take takes room of the i-th candidate, and notes in what the query holds that
	// it has. It returns false if another request was faster.
	Take(q *Query, i int) bool

	// Undo gives back what the hold has of it.
	Undo(h *hold)
}

// gates are all that a pick has to pass, but for Caddy's own.
var gates = [...]gate{limitGate{}, boundGate{}, probationGate{}}

// hold is what the pick of a candidate has taken. It goes with the request: to the
// attempt that follows, which gives back what is left at its end; or, where none
// follows, it is given back when the request ends or is picked for anew.
type hold struct {
	member  *member
	slot    bool // of the limit of the address, until the attempt begins
	counted bool // among the requests in flight, until the attempt ends
	round   int  // of the probation that it has a place on, until a report comes; 0 for none
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

// claim takes the room that the i-th candidate has for the request, and has the
// query hold it. It reports false if another request was faster.
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

// pick returns what the query holds for the attempt that is to follow; nil for
// nothing.
func (q *Query) pick() attempt.Pick {
	if !q.held.slot && !q.held.counted && q.held.round == 0 {
		return nil
	}
	held := q.held
	return &held
}
