package endpoint

import (
	"sync"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// Slots are the places that requests take of an address's limit, by whichever
// handler they come. Caddy counts a request shortly before it is sent; a pick holds
// a slot until then, so that no other request is picked for the same one.
type Slots struct {
	held atomic.Int32 // picks that no attempt has followed yet; written with mu held

	mu sync.Mutex // guards writes of held, and:

	// settled is how many requests Caddy counts that are none of those held, as far
	// as can be told: while none are held, exactly so.
	settled int
}

// Free reports whether the upstream has a slot left.
func (s *Slots) Free(u *reverseproxy.Upstream, limit int) bool {
	// First the picks: a request that Caddy comes to count between the two looks
	// is in both numbers, and not in none.
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

// taken is Taken with mu held. Of those held, Caddy counts all, some or none.
func (s *Slots) taken(u *reverseproxy.Upstream) int {
	held, counted := int(s.held.Load()), Active(u)
	s.settled = min(max(s.settled, counted-held), counted)
	return s.settled + held
}

// Take takes a slot of the upstream for a pick, if there is one left.
func (s *Slots) Take(u *reverseproxy.Upstream, limit int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken(u) >= limit {
		return false
	}
	s.held.Add(1)
	return true
}

// Begin notes that an attempt has begun, which Caddy counts. Where its pick held a
// slot, it does so no more.
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
