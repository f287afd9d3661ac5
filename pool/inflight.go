package pool

import (
	"sync"
	"sync/atomic"
)

// inFlight is the attempts in flight to a dial address, of all pools of the process.
// It is kept only while one of those pools reads it.
type inFlight struct {
	oldest  atomic.Int64 // when the oldest of them began; 0 for none
	readers atomic.Int32 // members of pools that read it

	mu          sync.Mutex // guards writes of the above, and:
	first, last *attempt   // oldest first
}

// attempt is one that is in flight.
type attempt struct {
	began      int64
	prev, next *attempt
}

// begin notes that the attempt is in flight from now on.
func (f *inFlight) begin(a *attempt, now int64) {
	a.began = now
	f.mu.Lock()
	defer f.mu.Unlock()
	if a.prev = f.last; a.prev != nil {
		a.prev.next = a
	} else {
		f.first = a
		f.oldest.Store(now)
	}
	f.last = a
}

// end notes that the attempt is not in flight any more.
func (f *inFlight) end(a *attempt) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if a.next != nil {
		a.next.prev = a.prev
	} else {
		f.last = a.prev
	}
	if a.prev != nil {
		a.prev.next = a.next
		return
	}
	f.first = a.next
	oldest := int64(0)
	if f.first != nil {
		oldest = f.first.began
	}
	f.oldest.Store(oldest)
}
