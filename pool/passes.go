package pool

import (
	"math/rand/v2"
	"net/http"

	"github.com/caddy-evenkeel/evenkeel/queue"
)

// pickAny picks an upstream for the request by the [passes], and takes the room that
// it has. It returns an index of the query's candidates.
func (h *Handle) pickAny(s *Snapshot, q *Query) (i int, wait queue.Reason) {
	if i := h.testProbation(s, q); i >= 0 {
		return i, queue.NoReason
	}
	for {
		i, wait := h.runPasses(s, q)
		if i < 0 || !q.gated || !h.owner || q.claim(i) {
			return i, wait
		}
	}
}

// pass is one look at some of the upstreams.
type pass struct {
	reserve       bool // those out of service: see [reserve]; else those in service
	retry         bool // for retries only
	busyProbation bool // an upstream on probation may be picked for a retry, and beside its one request
	again         bool // an upstream may be picked where an attempt failed before anything was sent
	wait          bool // if one of the upstreams has no room, the request waits, and no pass follows
}

// passes are in the order in which upstreams are preferred. The first pass that
// finds an upstream ends the pick.
var passes = [...]pass{
	// In service and untried. A first attempt may test an upstream on probation.
	{wait: true},
	// The same, and those on probation that have their one request.
	{busyProbation: true},
	// Ejected; for a retry, also unhealthy by a check.
	{reserve: true, busyProbation: true, wait: true},
	// In service; they have failed this request before anything was sent.
	{retry: true, busyProbation: true, again: true, wait: true},
	// Ejected or unhealthy; they have failed it likewise.
	{retry: true, reserve: true, busyProbation: true, again: true},
}

// runPasses picks by the passes, in their order. Wait is why the request has to wait
// instead.
func (h *Handle) runPasses(s *Snapshot, q *Query) (i int, wait queue.Reason) {
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
			return i, queue.NoReason
		}
		if p.wait {
			if wait = h.reasonToWait(s, tiers, q); wait != queue.NoReason {
				return None, wait
			}
		}
	}
	return None, h.comingBack(s, q)
}

// comingBack says that a request that no pass has found an upstream for waits: one that
// has come back would do, if it had room. It may have no room by its limit, too, or have
// some again since the passes. That ends when hold has passed since the upstream was
// reached: what it cannot serve by then is load, and not the outage.
func (h *Handle) comingBack(s *Snapshot, q *Query) queue.Reason {
	if h.pool.comebacks.Load() == 0 || q.Request == nil {
		return queue.NoReason
	}
	q.again = q.retry
	since := q.now() - int64(h.pool.holdTime())
	for _, tiers := range [][]*Tier{s.tiers, s.reserve.open(q.retry)} {
		for _, t := range tiers {
			q.enter(h, t)
			for i := range q.Candidates {
				m := q.Candidates[i].member
				if m.returning.Load() != nil && m.reached.Load() > since && q.would(i) {
					return queue.Returning
				}
			}
		}
	}
	return queue.NoReason
}

// reasonToWait returns why the request has to wait for a candidate of the tiers that
// would do, but for its room.
func (h *Handle) reasonToWait(s *Snapshot, tiers []*Tier, q *Query) queue.Reason {
	queues := h.pool.options.Queue != nil
	returning := h.pool.comebacks.Load() > 0
	if !queues && !returning {
		return queue.NoReason
	}
	for _, t := range tiers {
		q.enter(h, t)
		for i := range q.Candidates {
			switch {
			case queues && q.full(i):
				return queue.AllFull
			case returning && q.returning(i):
				return queue.Returning
			}
		}
	}
	return queue.NoReason
}

// from has the policy pick from the tier that the request's draw falls on. If that
// has no candidate left, the other tiers follow in their order.
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

// draw returns the number that says which tier the request falls on: the same for
// requests of the same key.
func (h *Handle) draw(r *http.Request) uint32 {
	if key, ok := h.Key(r); ok {
		return key
	}
	return rand.Uint32()
}

// ask has the policy's picker of the tier pick. If no candidate within the policy's
// bound may be picked, the bound is ignored.
func (h *Handle) ask(q *Query) int {
	picker := q.tier.pickerOf(h)
	i := picker.Pick(q)
	if i < 0 && q.bound > 0 {
		q.ignoreBound = true
		i = picker.Pick(q)
	}
	return i
}
