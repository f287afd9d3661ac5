package pool

import (
	"cmp"
	"slices"
)

// enclosed is the picker of a policy inside another one of ours, where it has sessions
// or a bound.
type enclosed struct {
	picker   Picker
	bound    float64  // 0 for none
	sessions Sessions // nil for none
}

// Build builds the policy's picker for the enclosing policy, as [Policy] says.
func (h *Handle) Build(next *Tier, before Picker) Picker {
	if h.features.Bound == 0 && h.features.Sessions == nil {
		return h.policy.Build(next, before)
	}
	var last Picker
	if e, ok := before.(*enclosed); ok {
		last = e.picker
	}
	return &enclosed{picker: h.policy.Build(next, last), bound: h.features.Bound, sessions: next.sessions.of(h)}
}

// Pick implements [Picker].
func (e *enclosed) Pick(q *Query) int {
	if e.sessions != nil {
		return e.pickInSession(q)
	}
	return e.pickWithin(q)
}

// pickWithin picks within the policy's own bound, if that is tighter than the
// enclosing policy's. If no candidate is within it, the latter holds.
func (e *enclosed) pickWithin(q *Query) int {
	if outer := q.bound; e.bound > 0 && (outer == 0 || e.bound < outer) {
		q.bound = e.bound
		i := e.picker.Pick(q)
		q.bound = outer
		if i >= 0 {
			if q.innerBound == 0 {
				q.innerBound = e.bound
			}
			return i
		}
	}
	return e.picker.Pick(q)
}

// pickInSession picks the upstream of the request's session where that is among the
// candidates.
func (e *enclosed) pickInSession(q *Query) int {
	session := e.sessions.Find(q)
	i, found := slices.BinarySearchFunc(q.Candidates, session.Member, Candidate.compareIndex)
	if found = found && q.OK(i); !found {
		i = None
		if session.Member < 0 || !session.Strict {
			i = e.pickWithin(q)
		}
	}
	member := None
	if i >= 0 {
		member = q.Candidates[i].index
	}
	e.sessions.Settle(q, session, member)
	return i
}

// compareIndex compares the candidate's index among the members, by which a tier's
// candidates are in order.
func (c Candidate) compareIndex(index int) int { return cmp.Compare(c.index, index) }
