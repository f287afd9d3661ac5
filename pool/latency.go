package pool

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-evenkeel/evenkeel/internal/balance"
)

// base is what instants are counted from. It lies so far back that no instant
// is zero or below, on a faked clock either.
var base = time.Now().Add(-100 * 365 * 24 * time.Hour)

// instant is a time as nanoseconds since base: unlike a time.Time, it fits an
// atomic.
func instant(t time.Time) int64 { return int64(t.Sub(base)) }

// Latency is what is known of how fast an upstream answers. There is one for
// each dial address in the process, so that it outlives configurations. Its 64
// bytes fill a cache line, which it so shares with no other.
type Latency struct {
	estimate atomic.Int64 // nanoseconds; 0 for none
	written  atomic.Int64 // when the estimate was made
	oldest   atomic.Int64 // when the oldest attempt in flight began; 0 for none

	mu          sync.Mutex // guards writes of the above, and:
	first, last *attempt   // in flight, oldest first

	// Guarded by the registry.
	released int64 // latest
	refs     int32
}

// attempt is one that is in flight.
type attempt struct {
	latency    *Latency
	began      int64
	prev, next *attempt
}

// Expect returns the latency to expect, where the mean of the fleet is as given:
// the estimate, if there is one; the mean for a newcomer, and for one that is
// idle and of which nothing was heard since the given instant. In any case it is
// the age of the oldest attempt in flight at least. Now is called only if it is
// needed.
func (l *Latency) Expect(mean time.Duration, since int64, now func() time.Time) time.Duration {
	estimate, oldest := l.estimate.Load(), l.oldest.Load()
	if estimate == 0 || oldest == 0 && l.written.Load() < since {
		estimate = int64(mean)
	}
	if oldest != 0 {
		estimate = max(estimate, instant(now())-oldest)
	}
	return time.Duration(estimate)
}

// begin notes that an attempt is in flight from now on.
func (l *Latency) begin(now int64) *attempt {
	a := &attempt{latency: l, began: now}
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.prev = l.last; a.prev != nil {
		a.prev.next = a
	} else {
		l.first = a
		l.oldest.Store(now)
	}
	l.last = a
	return a
}

// end notes that the attempt is not in flight any more.
func (a *attempt) end() {
	l := a.latency
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.next != nil {
		a.next.prev = a.prev
	} else {
		l.last = a.prev
	}
	if a.prev != nil {
		a.prev.next = a.next
		return
	}
	l.first = a.next
	oldest := int64(0)
	if l.first != nil {
		oldest = l.first.began
	}
	l.oldest.Store(oldest)
}

// observe takes in how long an attempt took, or that it failed.
func (l *Latency) observe(now int64, took time.Duration, failed bool, decay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	estimate := time.Duration(l.estimate.Load())
	if failed {
		took = max(took, balance.Penalty(estimate))
	}
	since := time.Duration(now - l.written.Load())
	l.estimate.Store(int64(balance.PeakEWMA(estimate, took, since, decay)))
	l.written.Store(now)
}

// forget makes the upstream a newcomer.
func (l *Latency) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.estimate.Store(0)
}

// latencies are those of all addresses in use, or in use a while ago: between a
// reload and its first request, nobody uses what a dynamic source returns.
var latencies = registry{byAddress: make(map[string]*Latency)}

type registry struct {
	mu        sync.RWMutex
	byAddress map[string]*Latency
	swept     int64
}

// keep is how long a latency is kept that nobody uses.
const keep = int64(5 * time.Minute)

func (r *registry) acquire(address string, now int64) *Latency {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sweep(now)
	l := r.byAddress[address]
	if l == nil {
		l = new(Latency)
		r.byAddress[address] = l
	}
	l.refs++
	return l
}

func (r *registry) release(address string, now int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sweep(now)
	if l := r.byAddress[address]; l != nil && l.refs > 0 {
		l.refs--
		l.released = now
	}
}

// sweep drops what has not been in use for long enough.
func (r *registry) sweep(now int64) {
	if now-r.swept < keep {
		return
	}
	r.swept = now
	for address, l := range r.byAddress {
		if l.refs == 0 && now-l.released >= keep {
			delete(r.byAddress, address)
		}
	}
}

// get returns nil for an address that is not known.
func (r *registry) get(address string) *Latency {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byAddress[address]
}

// fleet is the mean latency of all of a handler's attempts.
type fleet struct {
	mean    atomic.Int64 // nanoseconds; 0 for none
	written atomic.Int64
}

// fleetWeight is one over the weight of a sample in the fleet's mean.
const fleetWeight = 32

// observe takes in a sample. Of two at the same moment one may be lost.
func (f *fleet) observe(now int64, took time.Duration) {
	mean := f.mean.Load()
	if mean == 0 {
		mean = int64(took)
	}
	f.mean.Store(max(mean+(int64(took)-mean)/fleetWeight, 1))
	f.written.Store(now)
}
