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

	// Ramp is the part of its configured weight that it gets, by slow start and by its
	// agent, divided by the largest part of any candidate: above zero, at most 1.
	Ramp float64

	member        *member
	inFlight      *endpoint.InFlight // attempts to the address; nil for an untracked upstream
	addressWeight uint32             // of all candidates of its address
	index         int                // among the membership's members
	limit         int                // of requests at once, by configuration and by its agent; 0 for none
	probation     bool
}

// Tier is candidates of equal preference: those of one priority level; degraded ones
// are a tier of their own. It does not change.
type Tier struct {
	Candidates []Candidate // in the order of the membership's members
	Level      *Level

	level     int
	degraded  bool
	failing   bool                     // every attempt on them fails: they come last
	weight    float64                  // of all candidates; 0 where requests are not counted
	total     *total                   // of requests in flight; nil where they are not counted
	gated     bool                     // the gates have to be asked, besides Caddy's own conditions
	upstreams []*reverseproxy.Upstream // of the candidates; nil where upstreams are dynamic
	picker    Picker                   // of the pool's own policy
	called    map[*Handle]Picker       // of policies inside one of Caddy's own, which calls their Select
	sessions  *sessionsByPolicy        // the membership's
}

// Level is all upstreams of one priority that have weight, whether they may be picked
// or not. It does not change while the upstreams stay the same.
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

// Snapshot is the upstreams of a membership that may be picked at a time. It does not
// change: when something has changed, another one replaces it.
type Snapshot struct {
	tiers     []*Tier  // in the order of preference, none of them empty
	bounds    []uint32 // of the draws that fall on each, cumulated; nil if all fall on the first
	plain     *Tier    // the only tier, if the policy alone decides in it; else nil
	unproven  bool     // all candidates are on probation
	panicking bool
	paused    bool   // by an order: no request is served
	why       reason // why there is no candidate; empty where there is one
	soonest   int64  // instant at which one may be back, where there is none; 0 for not known
	down      bool   // no candidate, because all are down
	reserve   reserve

	probationCandidates []probationCandidate // those that requests should test

	// Only where a policy has sessions:
	sessions *sessionsByPolicy // the membership's
	members  []Candidate       // all of the membership's
	open     []bool            // which of them sessions may go to
	ejected  []bool            // which of the others strict sessions may go to, since they have no other upstream
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

// tierOf returns the snapshot's tier that has these upstreams in the same slice; nil if
// there is none.
func (s *Snapshot) tierOf(upstreams []*reverseproxy.Upstream) *Tier {
	for _, t := range s.tiers {
		if same(upstreams, t.upstreams) {
			return t
		}
	}
	return nil
}

// same reports whether both are the same slice, with at least one upstream.
func same(a, b []*reverseproxy.Upstream) bool {
	return len(a) == len(b) && len(b) > 0 && &a[0] == &b[0]
}
