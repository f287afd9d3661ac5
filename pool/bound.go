package pool

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// load is how many requests a member has in flight, from this pool's picks on.
type load struct {
	sum *atomic.Int64 // of the members of the level

	mu     sync.Mutex
	count  int64
	picked []int64 // instants of the picks that no attempt has followed yet, oldest first
}

func (l *load) add(n int64) {
	l.count += n
	l.sum.Add(n)
}

// prune forgets the picks that no attempt has followed for too long. The mutex is
// held.
func (l *load) prune(now int64) {
	for len(l.picked) > 0 && now-l.picked[0] >= lapse {
		l.picked = l.picked[1:]
		l.add(-1)
	}
}

// is returns the number of requests.
func (l *load) is(now int64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.prune(now)
	return l.count
}

// pick counts a request that is about to be sent, unless there are as many as
// most already.
func (l *load) pick(now, most int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.prune(now)
	if l.count >= most {
		return false
	}
	l.picked = append(l.picked, now)
	l.add(1)
	return true
}

// begin notes that a request is sent: one of those picked, or one whose pick has
// lapsed.
func (l *load) begin(now int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.prune(now)
	if len(l.picked) > 0 {
		l.picked = l.picked[1:]
		return
	}
	l.add(1)
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
	l.add(-1)
}

// share returns how many requests a candidate would have in flight, with the one
// to be picked for, if all had as many for their weight.
func (t *Tier) share(c *Candidate) float64 {
	total := int64(1)
	for _, sum := range t.loads {
		total += sum.Load()
	}
	return float64(total) * float64(c.heft) / t.weight
}

// most returns how many requests the candidate may have in flight: its share
// times the bound, rounded up.
//
// V. Mirrokni, M. Thorup, M. Zadimoghaddam, Consistent Hashing with Bounded Loads,
// SODA 2018.
func (q *Query) most(c *Candidate) int64 {
	if q.bound == 0 || q.unbound {
		return math.MaxInt64
	}
	return int64(math.Ceil(q.bound * q.tier.share(c)))
}

// Spare reports whether the i-th candidate has fewer requests in flight than its
// share. It does not say whether the candidate may be picked.
func (q *Query) Spare(i int) bool {
	c := &q.Candidates[i]
	return q.unbound || c.who.load.is(instant(time.Now())) < max(int64(q.tier.share(c)), 1)
}

// SetBound says how many times its share of the requests in flight a candidate
// gets at most of those that the picker picks for. It is called before Start.
func (h *Handle) SetBound(bound float64) {
	h.bound, h.pool.counting = bound, true
}
