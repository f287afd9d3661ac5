package endpoint

import (
	"sync"
	"sync/atomic"
)

// InFlight is the attempts in flight to an address, with their age. Attempts are
// kept only while a pool reads them.
type InFlight struct {
	oldest  atomic.Int64 // instant at which the oldest attempt began; 0 for none in flight
	readers atomic.Int32 // members of pools that read it

	mu          sync.Mutex // guards writes of oldest, and:
	first, last *Entry     // oldest first
}

// Entry is an attempt in flight.
type Entry struct {
	began      int64
	prev, next *Entry
}

// Read has attempts kept, from the next one on, until Unread is called.
func (f *InFlight) Read() { f.readers.Add(1) }

// Unread ends what Read has begun.
func (f *InFlight) Unread() { f.readers.Add(-1) }

// Oldest returns the instant at which the oldest attempt in flight began; 0 for
// none.
func (f *InFlight) Oldest() int64 { return f.oldest.Load() }

// Begin adds an attempt that is in flight since the instant. It returns false where
// no pool reads attempts: then End must not be called.
func (f *InFlight) Begin(e *Entry, now int64) bool {
	if f.readers.Load() == 0 {
		return false
	}
	e.began, e.next = now, nil
	f.mu.Lock()
	defer f.mu.Unlock()
	if e.prev = f.last; e.prev != nil {
		e.prev.next = e
	} else {
		f.first = e
		f.oldest.Store(now)
	}
	f.last = e
	return true
}

// End removes an attempt that Begin has added.
func (f *InFlight) End(e *Entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		f.last = e.prev
	}
	if e.prev != nil {
		e.prev.next = e.next
		return
	}
	f.first = e.next
	oldest := int64(0)
	if f.first != nil {
		oldest = f.first.began
	}
	f.oldest.Store(oldest)
}
