package pool

import "math/rand/v2"

// reserve is the upstreams that are out of service but better than none: see [passes].
// Policies build no pickers of them; nil is none.
type reserve struct{ ejected, unhealthy *Tier }

// outOfService is the members that are out of service, by their indices.
type outOfService struct{ ejected, unhealthy []int }

// reserve builds the reserve. Where verdicts are never to be ignored, the unhealthy are
// not in it.
func (p *Pool) reserve(out outOfService, ms *membership, states []state) (r reserve) {
	if t := p.options.PanicThreshold; t != nil && *t == 0 {
		out.unhealthy = nil
	}
	tier := func(indices []int) *Tier {
		if len(indices) == 0 {
			return nil
		}
		t := &Tier{Candidates: make([]Candidate, len(indices)), gated: true}
		for n, i := range indices {
			m := ms.members[i]
			t.Candidates[n] = Candidate{Address: m.address, Weight: 1, Latency: m.latency, member: m, index: i, limit: states[i].limit}
			if ms.upstreams != nil {
				t.upstreams = append(t.upstreams, ms.upstreams[i])
			}
		}
		return t
	}
	return reserve{tier(out.ejected), tier(out.unhealthy)}
}

// empty reports whether there are none.
func (r reserve) empty() bool { return r.ejected == nil && r.unhealthy == nil }

// open returns the tiers that are open to a request. A first attempt goes to the ejected
// only: verdicts of checks hold for it.
func (r reserve) open(retry bool) (tiers []*Tier) {
	if r.ejected != nil {
		tiers = append(tiers, r.ejected)
	}
	if r.unhealthy != nil && retry {
		tiers = append(tiers, r.unhealthy)
	}
	return tiers
}

// fromReserve picks any candidate, from the tiers in their order.
func (h *Handle) fromReserve(tiers []*Tier, q *Query) int {
	for _, t := range tiers {
		q.enter(h, t)
		q.bound = 0
		if i := q.Any(rand.IntN(len(t.Candidates))); i >= 0 {
			return i
		}
	}
	return None
}
