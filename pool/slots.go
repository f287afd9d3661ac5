package pool

import (
	"sync"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// pending are the instants of picks that no attempt has followed yet, oldest first.
type pending []int64

// prune drops those that no attempt has followed for too long, and returns how
// many.
func (p *pending) prune(now int64) (lapsed int) {
	for lapsed < len(*p) && now-(*p)[lapsed] >= lapse {
		lapsed++
	}
	*p = (*p)[lapsed:]
	return lapsed
}

// follow notes that an attempt has followed a pick: which one does not matter. It
// reports false if there is none left.
func (p *pending) follow(now int64) bool {
	p.prune(now)
	if len(*p) == 0 {
		return false
	}
	*p = (*p)[1:]
	return true
}

// slots are those of an address's that picks have taken and no attempt has
// filled yet: Caddy counts a request only when it is about to be sent.
type slots struct {
	mu    sync.Mutex
	taken pending
}

// reserved returns how many there are.
func (s *slots) reserved(now int64) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken.prune(now)
	return len(s.taken)
}

// reserve takes a slot of the upstream, if it has one left.
func (s *slots) reserve(now int64, u *reverseproxy.Upstream, limit int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken.prune(now)
	// Caddy counts first, and then the slot is filled: what is not in one
	// number is in the other.
	if u.NumRequests()+len(s.taken) >= limit {
		return false
	}
	s.taken = append(s.taken, now)
	return true
}

// fill gives a slot back: an attempt has begun that Caddy counts.
func (s *slots) fill(now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken.follow(now)
}
