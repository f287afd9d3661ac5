package pool

import (
	"math/rand/v2"
	"net/http"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
	"github.com/caddy-evenkeel/evenkeel/outlier"
)

// probationGate gives an upstream on probation one request at a time.
type probationGate struct{}

// Needed implements [gate].
func (probationGate) Needed(s *state) bool { return s.phase == outlier.Probation }

// Admits implements [gate]. Only first attempts test an upstream on probation.
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

// begin returns the number of the probation that an attempt on the member begins on;
// 0 for none. If the attempt's hold has one, it is that. The hold may be nil.
func (probationGate) begin(m *member, h *hold, now int64) (round int) {
	if h == nil || h.round == 0 {
		round, _ = m.host.Claim(now, true)
		return round
	}
	round, h.round = h.round, 0 // the attempt's report gives it back
	return round
}

// probationCandidate is a candidate on probation: the index of its tier, and its
// index in that.
type probationCandidate struct{ tier, candidate int }

// findProbationCandidates notes the candidates on probation that requests should
// test.
func (s *Snapshot) findProbationCandidates() {
	for i, t := range s.tiers {
		for n, c := range t.Candidates {
			if c.probation && s.used(i) {
				s.probationCandidates = append(s.probationCandidates, probationCandidate{i, n})
			}
		}
	}
}

// maxProbationLooks is how many candidates on probation a request looks at: there
// may be many, all of them busy.
const maxProbationLooks = 8

// testProbation picks a candidate on probation for a request that any upstream
// serves as well, and that Caddy retries elsewhere if it fails, unless retries are
// off. Without that, a policy that prefers proven upstreams might never test the
// candidate.
func (h *Handle) testProbation(s *Snapshot, q *Query) int {
	candidates := s.probationCandidates
	if len(candidates) == 0 || q.retry || !h.owner || q.Request == nil || q.Request.Method != http.MethodGet {
		return None
	}
	if _, keyed := h.Key(q.Request); keyed {
		return None
	}
	from := 0
	if len(candidates) > maxProbationLooks {
		from = rand.IntN(len(candidates))
	}
	for n := range min(len(candidates), maxProbationLooks) {
		at := candidates[(from+n)%len(candidates)]
		q.enter(h, s.tiers[at.tier])
		if i := at.candidate; q.OK(i) && q.claim(i) {
			return i
		}
	}
	return None
}
