package pool

import (
	"math/rand/v2"
	"net/http"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
	"github.com/caddy-evenkeel/evenkeel/outlier"
)

// probationGate lets an upstream that was ejected have one request at a time until
// one succeeds.
type probationGate struct{}

// Needed implements [gate].
func (probationGate) Needed(s *state) bool { return s.phase == outlier.Probation }

// Admits implements [gate]. Only first attempts test an upstream.
func (probationGate) Admits(q *Query, i int) bool {
	c := &q.Candidates[i]
	return !c.probation || q.allowBusyProbation || !q.retry && !c.member.host.Busy(q.now())
}

// Take implements [gate].
func (probationGate) Take(q *Query, i int) (ok bool) {
	c := &q.Candidates[i]
	if !c.probation {
		return true
	}
	q.held.round, ok = c.member.host.Claim(instant.Now(), q.allowBusyProbation)
	return ok
}

// Undo implements [gate].
func (probationGate) Undo(h *hold) {
	h.member.host.Drop(h.round)
	h.round = 0
}

// begin returns the round of the member's probation that an attempt begins on; 0 for
// none. It is that of its hold, which may be nil, if that has one.
func (probationGate) begin(m *member, h *hold, now int64) (round int) {
	if h == nil || h.round == 0 {
		round, _ = m.host.Claim(now, true)
		return round
	}
	round, h.round = h.round, 0 // a report, or its lack, gives it back
	return round
}

// probationCandidate is a candidate on probation, by the indices of its tier and in
// it.
type probationCandidate struct{ tier, candidate int }

// findProbing notes which candidates on probation requests should test.
func (s *Snapshot) findProbing() {
	for i, t := range s.tiers {
		for n, c := range t.Candidates {
			if c.probation && s.used(i) {
				s.probing = append(s.probing, probationCandidate{i, n})
			}
		}
	}
}

// maxProbing is how many candidates on probation a request looks at: they may be
// many, and all of them busy.
const maxProbing = 8

// probe picks a candidate on probation for a request that any upstream serves as
// well, and that Caddy will retry elsewhere if need be, unless retries are off.
// Without that, a policy that prefers proven upstreams might never test it.
func (h *Handle) probe(s *Snapshot, q *Query) int {
	if len(s.probing) == 0 || q.retry || !h.owner || q.Request == nil || q.Request.Method != http.MethodGet {
		return None
	}
	if _, keyed := h.Key(q.Request); keyed {
		return None
	}
	from := 0
	if len(s.probing) > maxProbing {
		from = rand.IntN(len(s.probing))
	}
	for n := range min(len(s.probing), maxProbing) {
		at := s.probing[(from+n)%len(s.probing)]
		q.enter(h, s.tiers[at.tier])
		if i := at.candidate; q.OK(i) && q.claim(i) {
			return i
		}
	}
	return None
}
