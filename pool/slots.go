package pool

import (
	"sync"
	"sync/atomic"

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

// slots are those that requests take of an address's limit, whichever handler
// they come by. A pick takes one: Caddy counts a request only when it is about to
// be sent, so that others could be picked for the same room.
type slots struct {
	picks atomic.Int32 // number of picked

	mu     sync.Mutex
	picked pending // that no attempt has followed yet

	// settled is how many requests Caddy counts that are none of those picked, as
	// far as can be told: while there are none of these, exactly so.
	settled int
}

// inFlight returns how many requests the upstream has, those picked included.
// Caddy counts all, some or none of these: it does so between the pick and the
// attempt. s.mu is held.
func (s *slots) inFlight(now int64, u *reverseproxy.Upstream) int {
	s.settled += s.picked.prune(now) // Caddy may count them
	picked, counted := s.picked.len(), active(u)
	s.settled = min(max(s.settled, counted-picked), counted)
	return s.settled + picked
}

// note has the number be that of the list. s.mu is held.
func (s *slots) note() { s.picks.Store(int32(s.picked.len())) }

// free reports whether the upstream has a slot left.
func (s *slots) free(now int64, u *reverseproxy.Upstream, limit int) bool {
	// First the picks: a request that Caddy comes to count between the two looks
	// is in both numbers, and not in none.
	picks := int(s.picks.Load())
	counted := active(u)
	if picks == 0 || counted+picks < limit || counted >= limit {
		return counted+picks < limit
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.note()
	return s.inFlight(now, u) < limit
}

// taken returns how many slots are taken.
func (s *slots) taken(now int64, u *reverseproxy.Upstream) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.note()
	return s.inFlight(now, u)
}

// reserve takes a slot of the upstream, if it has one left.
func (s *slots) reserve(now int64, u *reverseproxy.Upstream, limit int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.note()
	if s.inFlight(now, u) >= limit {
		return false
	}
	s.picked.add(now)
	return true
}

// fill notes that an attempt has begun, which Caddy counts. Its pick, if that took a
// slot, holds it no more.
func (s *slots) fill(now int64, took bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.note()
	s.settled += s.picked.prune(now)
	if !took || s.picked.follow(now) {
		s.settled++
	}
}

// giveBack ends a pick that no attempt will follow.
func (s *slots) giveBack(now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.note()
	s.picked.follow(now)
}
