package roster

import (
	"time"

	"github.com/caddy-evenkeel/evenkeel/internal/orders"
)

const (
	// longestDrain is how long a member that is removed stays at most, although it has
	// requests in flight. They go on, then, too.
	longestDrain = 10 * time.Minute

	// lookEvery is how often members that are removed are looked at.
	lookEvery = 250 * time.Millisecond
)

// drain notes that the member was removed at the time, so that it gets no new traffic
// before it goes. r.mu is held.
func (r *Roster) drain(e entry, since, now time.Time) {
	until := since.Add(longestDrain)
	if !now.Before(until) {
		return
	}
	order := &orders.Order{Address: e.address, State: orders.Drain, Reason: "removed from roster '" + r.name + "'", Given: since}
	r.draining[e.address] = &drain{order: order, after: now.Add(lookEvery / 2), until: until, entry: e}
}

// arm sets the timer to the next look, if any member drains. r.mu is held.
func (r *Roster) arm() {
	if r.timer == nil && len(r.draining) > 0 {
		r.timer = time.AfterFunc(lookEvery, r.look)
	}
}

// look lets the members go that have drained.
func (r *Roster) look() {
	r.mu.Lock()
	r.timer = nil
	now, gone := time.Now(), false
	for address, d := range r.draining {
		if now.After(d.after) && r.inFlight(address) == 0 || !now.Before(d.until) {
			delete(r.draining, address)
			gone = true
		}
	}
	r.arm()
	r.mu.Unlock()
	if gone {
		r.changed()
	}
}

// inFlight returns how many requests to the address are in flight, as far as the pool
// knows that knows of most: what Caddy counts is the same for all. r.mu is held.
func (r *Roster) inFlight(address string) (n int) {
	for f := range r.followers {
		n = max(n, f.inFlight(address))
	}
	return n
}
