package pool

import (
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/endpoint"
)

// Candidate is an upstream that may be picked.
type Candidate struct {
	Address    string // dial address
	Weight     uint32 // above zero; to be compared within the tier
	LevelIndex int    // in the tier's level
	Latency    *Latency

	// Ramp is the part of its configured weight that it gets, in a slow start or by
	// its agent's word, relative to the candidate that gets the largest part: above
	// zero, at most 1.
	Ramp float64

	member        *member
	inFlight      *endpoint.InFlight // attempts to the address; nil for an untracked upstream
	addressWeight uint32             // of all candidates of its address
	index         int                // among the membership's members
	limit         int                // of requests at once, by configuration and by its agent; 0 for none
	probation     bool
}

// Tier is the candidates that come before all others or after them: those of one
// priority level, the degraded ones apart. It does not change.
type Tier struct {
	Candidates []Candidate // in the order of the membership's members
	Level      *Level

	level     int
	degraded  bool
	failing   bool                     // every attempt fails; they come after those that are ejected
	weight    float64                  // of all candidates
	total     *total                   // of requests in flight; nil where they are not counted
	gated     bool                     // not every candidate that Caddy has nothing against may be picked
	upstreams []*reverseproxy.Upstream // of the candidates; nil where upstreams are dynamic
	picker    Picker                   // of the pool's own policy
	called    map[*Handle]Picker       // of policies inside one of Caddy's own, which calls their Select
	sessions  *sessionsByPolicy        // the membership's
}

// Level is all upstreams that have weight and one priority, whether they may be
// picked at present or not. It does not change while the upstreams stay the same.
type Level struct {
	Addresses []string
	Weights   []uint32 // as configured
}

// pickerOf returns the policy's picker for the tier.
func (t *Tier) pickerOf(h *Handle) Picker {
	if h.owner {
		return t.picker
	}
	return t.called[h]
}

// Snapshot is the upstreams that may be picked at a time. It does not change; when
// something has changed, another one replaces it.
type Snapshot struct {
	tiers     []*Tier  // in the order of preference, none of them empty
	bounds    []uint32 // of the draws that fall on each; nil if all fall on the first
	plain     *Tier    // the only one, if any of its candidates may be picked at any time; else nil
	unproven  bool     // all candidates are on probation
	panicking bool
	reserve   reserve

	probationCandidates []probationCandidate // those that requests should test

	// Only where a policy has sessions:
	sessions *sessionsByPolicy // the membership's
	members  []Candidate       // all of the membership's
	open     []bool            // which of them sessions may meet
	ejected  []bool            // which of the others strict sessions may: there is no other upstream for them
}

// only returns a snapshot of the tier alone.
func (s *Snapshot) only(t *Tier) *Snapshot {
	alone := &Snapshot{tiers: []*Tier{t}, sessions: s.sessions, members: s.members}
	if s.open != nil {
		alone.open, alone.ejected = make([]bool, len(s.open)), make([]bool, len(s.open))
		t.open(alone.open)
	}
	return alone
}

// tier returns the index of the one that the draw falls on.
func (s *Snapshot) tier(draw uint32) int {
	for i, bound := range s.bounds {
		if draw < bound || bound == s.bounds[len(s.bounds)-1] {
			return i
		}
	}
	return 0
}

// used reports whether any draw falls on the tier.
func (s *Snapshot) used(tier int) bool {
	switch {
	case s.bounds == nil:
		return tier == 0
	case tier == 0:
		return s.bounds[0] > 0
	}
	return s.bounds[tier] > s.bounds[tier-1]
}

// tierOf returns the snapshot's tier that has just these upstreams, told by the
// slice itself; nil if there is none.
func (s *Snapshot) tierOf(upstreams []*reverseproxy.Upstream) *Tier {
	for _, t := range s.tiers {
		if same(upstreams, t.upstreams) {
			return t
		}
	}
	return nil
}

func same(a, b []*reverseproxy.Upstream) bool {
	return len(a) == len(b) && len(b) > 0 && &a[0] == &b[0]
}
