package pool

import (
	"sync"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// slots are those of an address's that picks have taken and no attempt has
// filled yet: Caddy counts a request only when it is about to be sent.
type slots struct {
	mu    sync.Mutex
	since []int64 // instants of the picks, oldest first
}

// prune drops the picks that no attempt has followed for too long. The mutex is
// held.
func (s *slots) prune(now int64) {
	for len(s.since) > 0 && now-s.since[0] >= lapse {
		s.since = s.since[1:]
	}
}

// reserved returns how many there are.
func (s *slots) reserved(now int64) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prune(now)
	return len(s.since)
}

// reserve takes a slot of the upstream, if it has one left.
func (s *slots) reserve(now int64, u *reverseproxy.Upstream, limit int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prune(now)
	// Caddy counts first, and then the slot is filled: what is not in one
	// number is in the other.
	if u.NumRequests()+len(s.since) >= limit {
		return false
	}
	s.since = append(s.since, now)
	return true
}

// fill gives a slot back: an attempt has begun that Caddy counts. Which pick it
// was does not matter.
func (s *slots) fill(now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prune(now)
	if len(s.since) > 0 {
		s.since = s.since[1:]
	}
}
