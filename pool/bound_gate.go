package pool

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

// boundGate keeps to the bound that a policy sets: how many times its fair share of
// the requests in flight a candidate gets.
type boundGate struct{}

// Needed implements [gate]. Where there is a bound, it is asked of all: see
// [Query.enter].
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

// inFlight is how many requests a member has in flight, of those that its pool has
// picked for: from the pick on.
type inFlight struct {
	count atomic.Int64

	mu     sync.Mutex // guards changes of count, and:
	totals []*total
}

// total is how many requests a tier's candidates have in flight.
type total struct {
	sum     atomic.Int64
	members []*inFlight
}

// join has the member's requests count in the total.
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

// take counts one more request, unless there are as many as most already.
func (f *inFlight) take(most int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count.Load() >= most {
		return false
	}
	f.change(1)
	return true
}

// add counts n more requests.
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

// fairShare returns how many requests a candidate would have in flight, with the one
// to be picked for, if all had as many for their weight.
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
	const exact = 1 - 1e-12 // 1.1 × 50 is a little more than 55
	return int64(math.Ceil(bound * q.tier.fairShare(c) * exact))
}

// UsedShare returns what part of its fair share of the requests in flight the i-th
// candidate would have with the one to be picked for; at most 1 if it has none yet.
// Only where there is a bound are they counted.
func (q *Query) UsedShare(i int) float64 {
	c := &q.Candidates[i]
	n := c.member.inFlight.count.Load()
	used := float64(n+1) / q.tier.fairShare(c)
	if n == 0 {
		return min(used, 1)
	}
	return used
}

// count has the tier's candidates counted together: in the total of the tier
// before, if that has the same.
func (t *Tier) count(before *Tier) {
	weights := make(map[*inFlight]uint32)
	var members []*inFlight
	for _, c := range t.Candidates {
		f := c.member.inFlight
		if weights[f] == 0 { // else the address is there twice
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

// discount ends the counting for those of the snapshot's tiers that share no total
// with one of the next snapshot.
func (s *Snapshot) discount(next *Snapshot) {
	for _, t := range s.tiers {
		if t.total == nil || slices.ContainsFunc(next.tiers, func(other *Tier) bool { return other.total == t.total }) {
			continue
		}
		for _, f := range t.total.members {
			f.leave(t.total)
		}
	}
}
