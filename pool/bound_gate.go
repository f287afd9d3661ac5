package pool

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

// boundGate keeps each candidate within the policy's bound: so many times its fair
// share of the requests in flight.
type boundGate struct{}

// Needed implements [gate]. A bound concerns all candidates: see [Query.enter].
func (boundGate) Needed(*state) bool { return false }

// Admits implements [gate].
func (boundGate) Admits(q *Query, i int) bool {
	if q.bound == 0 {
		return true
	}
	c := &q.Candidates[i]
	return c.member.inFlight.count.Load() < q.most(c)
}

// Take implements [gate].
func (boundGate) Take(q *Query, i int) bool {
	c := &q.Candidates[i]
	q.held.counted = q.counted && c.member.inFlight.take(q.most(c))
	return q.held.counted || !q.counted
}

// Undo implements [gate].
func (boundGate) Undo(h *hold) {
	if h.counted {
		h.counted = false
		h.member.inFlight.add(-1)
	}
}

// inFlight counts the requests of a pool that a member has in flight, from the pick
// on.
type inFlight struct {
	count atomic.Int64

	mu     sync.Mutex // guards writes of count, and:
	totals []*total   // that have these requests, too
}

// total counts the requests that a tier's candidates have in flight.
type total struct {
	sum     atomic.Int64
	members []*inFlight
}

// join adds the member's requests to the total, from now on.
func (f *inFlight) join(t *total) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.totals = append(f.totals, t)
	t.sum.Add(f.count.Load())
}

// leave ends what join has begun.
func (f *inFlight) leave(t *total) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.totals = slices.DeleteFunc(f.totals, func(other *total) bool { return other == t })
}

// take adds one request. It returns false if there are as many as most already.
func (f *inFlight) take(most int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count.Load() >= most {
		return false
	}
	f.change(1)
	return true
}

// add adds n requests.
func (f *inFlight) add(n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.change(n)
}

// change is add with f.mu held.
func (f *inFlight) change(n int64) {
	f.count.Add(n)
	for _, t := range f.totals {
		t.sum.Add(n)
	}
}

// fairShare returns how many requests the candidate would have in flight if all had as
// many for their weight. The request to be picked for counts.
func (t *Tier) fairShare(c *Candidate) float64 {
	total := int64(1)
	if t.total != nil {
		total += t.total.sum.Load()
	}
	return float64(total) * float64(c.addressWeight) / t.weight
}

// most returns how many requests the candidate may have in flight: its fair share
// times the bound, rounded up.
//
// V. Mirrokni, M. Thorup, M. Zadimoghaddam, Consistent Hashing with Bounded Loads,
// SODA 2018.
func (q *Query) most(c *Candidate) int64 {
	bound := q.bound
	if q.innerBound > 0 {
		bound = q.innerBound
	}
	if bound == 0 || q.ignoreBound {
		return math.MaxInt64
	}
	const exact = 1 - 1e-12 // in floating point, 1.1 × 50 is a little more than 55
	return int64(math.Ceil(bound * q.tier.fairShare(c) * exact))
}

// UsedShare returns what part of its fair share of the requests in flight the i-th
// candidate would use with the request to be picked for; at most 1 if it has none yet.
// Requests are counted only where a policy has a bound.
func (q *Query) UsedShare(i int) float64 {
	c := &q.Candidates[i]
	n := c.member.inFlight.count.Load()
	used := float64(n+1) / q.tier.fairShare(c)
	if n == 0 {
		return min(used, 1)
	}
	return used
}

// count gives the tier its total: that of the tier before, if both have the same
// members.
func (t *Tier) count(before *Tier) {
	weights := make(map[*inFlight]uint32)
	var members []*inFlight
	for _, c := range t.Candidates {
		f := c.member.inFlight
		if weights[f] == 0 { // else two candidates have the address
			members = append(members, f)
		}
		weights[f] += c.Weight
		t.weight += float64(c.Weight)
	}
	for i := range t.Candidates {
		t.Candidates[i].addressWeight = weights[t.Candidates[i].member.inFlight]
	}
	if before != nil && before.total != nil && slices.Equal(before.total.members, members) {
		t.total = before.total
		return
	}
	t.total = &total{members: members}
	for _, f := range members {
		f.join(t.total)
	}
}

// leaveTotals ends those totals of the snapshot's tiers that no tier of the next
// snapshot has.
func (s *Snapshot) leaveTotals(next *Snapshot) {
	for _, t := range s.tiers {
		if t.total == nil || slices.ContainsFunc(next.tiers, func(other *Tier) bool { return other.total == t.total }) {
			continue
		}
		for _, f := range t.total.members {
			f.leave(t.total)
		}
	}
}
