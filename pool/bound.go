package pool

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

// tally is the requests that a tier's candidates have in flight.
type tally struct {
	sum   atomic.Int64
	loads []*load
	swept atomic.Int64 // instant
}

// now returns the number of requests. From time to time it has all members drop
// picks that have lapsed, since nobody may ask them themselves.
func (t *tally) now(now int64) int64 {
	if at := t.swept.Load(); now-at >= lapse && t.swept.CompareAndSwap(at, now) {
		for _, l := range t.loads {
			l.is(now)
		}
	}
	return t.sum.Load()
}

// load is how many requests a member has in flight, from this pool's picks on.
type load struct {
	count  atomic.Int64
	oldest atomic.Int64 // instant of the first of picked; 0 for none

	mu      sync.Mutex // guards changes of the above, and:
	tallies []*tally
	picked  pending
}

// join has the load count in the tally.
func (l *load) join(t *tally) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tallies = append(l.tallies, t)
	t.sum.Add(l.count.Load())
}

// leave ends what join has begun.
func (l *load) leave(t *tally) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tallies = slices.DeleteFunc(l.tallies, func(other *tally) bool { return other == t })
}

// note takes in that the list of picks may have changed, and the count by n. The
// mutex is held.
func (l *load) note(n int) {
	l.oldest.Store(l.picked.oldest())
	if n == 0 {
		return
	}
	l.count.Add(int64(n))
	for _, t := range l.tallies {
		t.sum.Add(int64(n))
	}
}

// is returns the number of requests.
func (l *load) is(now int64) int64 {
	if oldest := l.oldest.Load(); oldest != 0 && now-oldest >= lapse {
		l.mu.Lock()
		l.note(-l.picked.prune(now))
		l.mu.Unlock()
	}
	return l.count.Load()
}

// pick counts a request that is about to be sent, unless there are as many as
// most already.
func (l *load) pick(now, most int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note(-l.picked.prune(now))
	if l.count.Load() >= most {
		return false
	}
	l.picked.add(now)
	l.note(1)
	return true
}

// begin notes that a request is sent: one of those picked, or one whose pick has
// lapsed.
func (l *load) begin(now int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 1 - l.picked.prune(now)
	if l.picked.follow(now) {
		n--
	}
	l.note(n)
}

// unpick takes a pick back.
func (l *load) unpick(now int64) {
	l.begin(now)
	l.end()
}

// end notes that a request has ended.
func (l *load) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note(-1)
}

// fairShare returns how many requests a candidate would have in flight, with the one
// to be picked for, if all had as many for their weight.
func (t *Tier) fairShare(c *Candidate, now int64) float64 {
	total := int64(1)
	if t.tally != nil {
		total += t.tally.now(now)
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
	return int64(math.Ceil(bound * q.tier.fairShare(c, q.now()) * exact))
}

// UsedShare returns what part of its fair share of the requests in flight the i-th
// candidate would have with the one to be picked for; at most 1 if it has none yet.
// Only where there is a bound are they counted.
func (q *Query) UsedShare(i int) float64 {
	c := &q.Candidates[i]
	n := c.member.load.is(q.now())
	used := float64(n+1) / q.tier.fairShare(c, q.now())
	if n == 0 {
		return min(used, 1)
	}
	return used
}

// count has the tier's candidates counted together: in the tally of the tier
// before, if that has the same.
func (t *Tier) count(before *Tier) {
	weights := make(map[*load]uint32)
	var loads []*load
	for _, c := range t.Candidates {
		if weights[c.member.load] == 0 { // else the address is there twice
			loads = append(loads, c.member.load)
		}
		weights[c.member.load] += c.Weight
		t.weight += float64(c.Weight)
	}
	for i := range t.Candidates {
		t.Candidates[i].addressWeight = weights[t.Candidates[i].member.load]
	}
	if before != nil && before.tally != nil && slices.Equal(before.tally.loads, loads) {
		t.tally = before.tally
		return
	}
	t.tally = &tally{loads: loads}
	for _, l := range loads {
		l.join(t.tally)
	}
}

// discount ends the counting for the snapshot's tiers that is not that for the
// next one's.
func (s *Snapshot) discount(next *Snapshot) {
	for _, t := range s.tiers {
		if t.tally == nil || slices.ContainsFunc(next.tiers, func(other *Tier) bool { return other.tally == t.tally }) {
			continue
		}
		for _, l := range t.tally.loads {
			l.leave(t.tally)
		}
	}
}
