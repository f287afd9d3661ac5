package pool

import (
	"slices"
	"sync/atomic"

	"github.com/caddy-evenkeel/evenkeel/queue"
)

// tally counts what happens to the requests of a pool, whichever upstream they go to. It
// outlives reloads, as the pool's memory does. First attempts do not touch it.
type tally struct {
	retries                   atomic.Uint64 // picks for requests that had attempts before
	refused                   atomic.Uint64 // retries that the budget had no room for
	panicsEntered, panicsLeft atomic.Uint64
	waits                     [len(queue.Refusals)]atomic.Uint64 // in vain, by their reasons
}

// unserved counts a request that waited in vain, or could not wait.
func (t *tally) unserved(why queue.Refusal) {
	if i := slices.Index(queue.Refusals[:], why); i >= 0 {
		t.waits[i].Add(1)
	}
}

// attempts returns how many attempts the pool has begun on upstreams that it remembers or
// has forgotten. It never falls.
func (m *memory) attempts() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.forgotten
	for _, a := range m.addresses {
		n += a.counters.begun.Load()
	}
	return n
}
