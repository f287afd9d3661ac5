package pool

import (
	"math/rand/v2"
	"net/http"
)

// pickAny has the policy pick from the snapshot's tiers; where those have none for
// the request, it goes on to what is better than no upstream. It returns an index of
// the query's candidates.
func (h *Handle) pickAny(s *Snapshot, q *Query) (i int, full bool) {
	if i := h.probe(s, q); i >= 0 {
		return i, false
	}
	for {
		i, full := h.pass(s, q)
		if i < 0 || !q.gated || !h.owner || q.claim(i) {
			return i, full
		}
	}
}

// pass is one look at some of the upstreams.
type pass struct {
	reserve       bool // at those that are out of service: see [reserve]
	retry         bool // for retries only
	busyProbation bool // one on probation may be picked beside its one request, or for a retry
	again         bool // so may one where an attempt failed before anything was sent
	wait          bool // if one of them is full, the request waits, and no pass follows
}

// passes are the order in which a request may have upstreams. The first pass that
// has one ends the pick.
var passes = [...]pass{
	// In service, and not tried. A first attempt may test one on probation.
	{wait: true},
	// On probation, tested or not; and those that got room between the two looks.
	{busyProbation: true},
	// Ejected, and, for a retry, unhealthy by a check.
	{reserve: true, busyProbation: true, wait: true},
	// In service, and failed this request before anything was sent.
	{retry: true, busyProbation: true, again: true, wait: true},
	// Ejected or unhealthy, and failed it likewise.
	{retry: true, reserve: true, busyProbation: true, again: true},
}

// pass goes through the passes. Full is whether the request has to wait for an
// upstream that is full.
func (h *Handle) pass(s *Snapshot, q *Query) (i int, full bool) {
	for n := range passes {
		p := &passes[n]
		if p.retry && !q.retry {
			continue
		}
		q.again, q.allowBusyProbation = p.again, p.busyProbation || s.unproven
		tiers := s.tiers
		if p.reserve {
			tiers = s.reserve.open(q.retry)
			i = h.fromReserve(tiers, q)
		} else {
			i = h.from(s, q)
		}
		if i >= 0 {
			return i, false
		}
		if p.wait && h.anyFull(tiers, q) {
			return None, true
		}
	}
	return None, false
}

// from asks the policy for one of the tier that the request falls on, and of the
// others where that has none left.
func (h *Handle) from(s *Snapshot, q *Query) int {
	if len(s.tiers) == 0 {
		return None
	}
	first := 0
	if s.bounds != nil {
		first = s.tier(h.draw(q.Request))
	}
	for n := -1; n < len(s.tiers); n++ {
		at := n
		if n < 0 {
			at = first
		} else if n == first {
			continue
		}
		q.enter(h, s.tiers[at])
		if i := h.ask(q); i >= 0 {
			return i
		}
	}
	return None
}

// draw returns the number that says which tier the request falls on.
func (h *Handle) draw(r *http.Request) uint32 {
	if key, ok := h.Key(r); ok {
		return key
	}
	return rand.Uint32()
}

// ask lets the policy's picker answer the query. Where those below its bound are not
// to be had, that does not count.
func (h *Handle) ask(q *Query) int {
	picker := q.tier.pickerOf(h)
	i := picker.Pick(q)
	if i < 0 && q.bound > 0 {
		q.ignoreBound = true
		i = picker.Pick(q)
	}
	return i
}
