package queue

import (
	"context"
	"time"
)

// Pauses between two looks of the first request of a group. It looks by itself, since
// Caddy counts a request for some time after it has ended, and since the queue is not
// told of requests that other handlers send to the same upstream.
const (
	shortestPause = 50 * time.Microsecond
	longestPause  = 20 * time.Millisecond
	keptLooks     = 2  // looks in vain before the next group is told
	fewGroups     = 16 // the longest pause grows with every so many: all together do not look more often
)

// Refusal is why a wait ended in vain.
type Refusal string

const (
	None    Refusal = ""        // it did not, or the client has gone
	Full    Refusal = "full"    // as many requests waited as may
	Timeout Refusal = "timeout" // no upstream had room in time
	Closed  Refusal = "closed"  // the queue was closed
)

// Look is what a look for room has found.
type Look struct {
	Address string // of the upstream that was picked; empty for none
	Full    bool   // an upstream to wait for is full
}

// Wait waits for the request's turn in the group, and then until look picks an
// upstream or finds none to wait for.
func (q *Queue) Wait(ctx context.Context, key Key, look func() Look) Refusal {
	w := q.join(key)
	if w == nil {
		return Full
	}
	defer q.leave(w)
	timeout := time.NewTimer(q.timeout)
	defer timeout.Stop()
	again := time.NewTimer(q.timeout) // when to look again, from its first turn on
	again.Stop()
	defer again.Stop()
	for {
		select {
		case <-w.woken:
		case <-again.C:
		case <-timeout.C:
			return Timeout
		case <-q.closed:
			return Closed
		case <-ctx.Done():
			return None
		}
		found := look()
		pause := q.looked(w, found.Address)
		if found.Address != "" || !found.Full {
			return None
		}
		again.Reset(pause)
	}
}

// looked notes that the first request of a group has looked for room. Taken is the
// address where it found some; empty for none. Pause is the time until its next look.
func (q *Queue) looked(w *waiter, taken string) (pause time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if taken != "" {
		q.passOn(w, taken)
		return 0
	}
	// Caddy counts a request for some time after it has ended. The next group should
	// not overtake meanwhile.
	if w.looks++; w.looks > keptLooks {
		q.passOn(w, "")
	}
	longest := longestPause * time.Duration(1+q.order.Len()/fewGroups)
	return min(shortestPause<<min(w.looks-1, 20), longest)
}
