package endpoint

import (
	"sync"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// Slots are what requests take of an address's limit, those of all handlers. Caddy
// counts a request shortly before it is sent. Until then, its pick holds a slot, so
// that no other request is picked for the same one.
type Slots struct {
	held atomic.Int32 // slots of picks that no attempt has followed yet

	mu sync.Mutex // guards writes of held, and:

	// settled is an estimate of how many requests Caddy counts besides those that hold
	// a slot. It is exact while no slot is held.
	settled int
}

// Free reports whether the upstream has a slot left.
func (s *Slots) Free(u *reverseproxy.Upstream, limit int) bool {
	// The picks come first: a request that Caddy begins to count between the two loads
	// is then in both numbers, instead of in neither.
	held := int(s.held.Load())
	counted := Active(u)
	if held == 0 || counted+held < limit || counted >= limit {
		return counted+held < limit
	}
	return s.Taken(u) < limit
}

// Taken returns how many slots are taken.
func (s *Slots) Taken(u *reverseproxy.Upstream) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken(u)
}

// taken is Taken with mu held. Caddy counts all, some or none of the requests that
// hold a slot.
func (s *Slots) taken(u *reverseproxy.Upstream) int {
	held, counted := int(s.held.Load()), Active(u)
	s.settled = min(max(s.settled, counted-held), counted)
	return s.settled + held
}

// Take takes a slot of the upstream for a pick. It returns false if none is left.
func (s *Slots) Take(u *reverseproxy.Upstream, limit int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken(u) >= limit {
		return false
	}
	s.held.Add(1)
	return true
}

// Begin notes that an attempt has begun, which Caddy counts. Held is whether its pick
// held a slot; it no longer does.
func (s *Slots) Begin(held bool) {
	if !held && s.held.Load() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settled++
	if held {
		s.held.Add(-1)
	}
}

// GiveBack gives back the slot of a pick that no attempt follows.
func (s *Slots) GiveBack() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held.Add(-1)
}

// Active returns the number of requests that Caddy counts for the upstream, by all
// handlers.
func Active(u *reverseproxy.Upstream) int {
	if u.Host == nil {
		return 0
	}
	return u.NumRequests()
}
