package pool

import (
	"sync"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// pending are the instants of picks that no attempt has followed yet.
type pending struct {
	at   []int64 // oldest first
	past int     // so many of them are pending no more
}

func (p *pending) len() int { return len(p.at) - p.past }

// oldest returns the first instant; zero if there is none.
func (p *pending) oldest() int64 {
	if p.len() == 0 {
		return 0
	}
	return p.at[p.past]
}

func (p *pending) add(now int64) {
	if p.past > 0 && len(p.at) == cap(p.at) {
		p.at = p.at[:copy(p.at, p.at[p.past:])]
		p.past = 0
	}
	p.at = append(p.at, now)
}

// drop removes the first n.
func (p *pending) drop(n int) {
	if p.past += n; p.past == len(p.at) {
		p.at, p.past = p.at[:0], 0
	}
}

// prune drops those that no attempt has followed for too long, and returns how
// many.
func (p *pending) prune(now int64) (lapsed int) {
	for _, at := range p.at[p.past:] {
		if now-at < lapse {
			break
		}
		lapsed++
	}
	p.drop(lapsed)
	return lapsed
}

// follow notes that an attempt has followed a pick: which one does not matter. It
// reports false if there is none left.
func (p *pending) follow(now int64) bool {
	p.prune(now)
	if p.len() == 0 {
		return false
	}
	p.drop(1)
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
	return s.taken.len()
}

// reserve takes a slot of the upstream, if it has one left.
func (s *slots) reserve(now int64, u *reverseproxy.Upstream, limit int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken.prune(now)
	// Caddy counts first, and then the slot is filled: what is not in one
	// number is in the other.
	if u.NumRequests()+s.taken.len() >= limit {
		return false
	}
	s.taken.add(now)
	return true
}

// fill gives a slot back: an attempt has begun that Caddy counts.
func (s *slots) fill(now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken.follow(now)
}
