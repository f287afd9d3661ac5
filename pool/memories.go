package pool

import (
	"encoding/json"
	"hash/maphash"
	"slices"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// memories are those of all pools. A pool of a new configuration gets the memory of a
// pool with the same policy: one whose whole configuration is the same; else one with
// the same upstreams; else the one with the most upstreams in common; among equals, the
// one that was created first. The pool that is most alike gets it, whichever is
// provisioned first. Two pools of one configuration never have the same memory.
var memories memoryRegistry

type memoryRegistry struct {
	mu  sync.Mutex
	all []*memory // in the order in which they were created
}

// identity is what a pool is recognised by.
type identity struct {
	config    uint64   // of policy and handler, as a hash
	upstreams []string // static ones, and what its source asks for; sorted, without duplicates
}

// claim is the claim of a pool on a memory.
type claim struct {
	identity
	pool     *Pool
	likeness int
}

// Levels of likeness between two pools of one policy. Below them, likeness is the
// number of upstreams that the pools have in common.
const (
	sameUpstreams = 1 << 30
	sameConfig    = 1 << 31
)

func (i identity) likeness(other identity) (n int) {
	if slices.Equal(i.upstreams, other.upstreams) {
		if i.config == other.config {
			return sameConfig
		}
		return sameUpstreams
	}
	for _, u := range i.upstreams {
		if _, ok := slices.BinarySearch(other.upstreams, u); ok {
			n++
		}
	}
	return n
}

// likeness returns how much the pool is like the pools that have the memory, or like
// the one that had it last.
func (m *memory) likeness(c *claim) (n int) {
	if m.policy != c.pool.policy {
		return 0
	}
	others := false
	for _, other := range m.claims {
		if other.pool.generation != c.pool.generation {
			others, n = true, max(n, c.identity.likeness(other.identity))
		}
	}
	if !others && m.last != nil {
		n = c.identity.likeness(*m.last)
	}
	return n
}

// claimOf returns the claim of a pool of the given configuration; nil if there is none.
func (m *memory) claimOf(generation uint64) *claim {
	for _, c := range m.claims {
		if c.pool.generation == generation {
			return c
		}
	}
	return nil
}

// claim gives the pool its memory. A pool of the same configuration that loses its
// memory by that gets another one; it does not serve yet.
func (r *memoryRegistry) claim(p *Pool, now int64) {
	type move struct {
		pool *Pool
		to   *memory
	}
	var moves []move
	r.mu.Lock()
	r.sweep(now)
	for next := (&claim{identity: p.identity, pool: p}); next != nil; {
		m := r.best(next)
		taken := m.claimOf(next.pool.generation)
		m.claims = slices.DeleteFunc(m.claims, func(c *claim) bool { return c == taken })
		m.claims = append(m.claims, next)
		if next.pool == p {
			p.memory = m
		} else {
			moves = append(moves, move{next.pool, m})
		}
		next = taken
	}
	r.mu.Unlock()
	for _, m := range moves {
		m.pool.moveTo(m.to)
	}
}

// best returns the memory that fits the claim best; a new one if none does. r.mu is
// held.
func (r *memoryRegistry) best(c *claim) (best *memory) {
	c.likeness = 0
	for _, m := range r.all {
		n := m.likeness(c)
		if taken := m.claimOf(c.pool.generation); taken != nil && taken.likeness >= n {
			continue
		}
		if n > c.likeness {
			best, c.likeness = m, n
		}
	}
	if best == nil {
		best = &memory{policy: c.pool.policy}
		r.all = append(r.all, best)
	}
	return best
}

// release ends the pool's claim. The memory is kept for a while.
func (r *memoryRegistry) release(p *Pool, now int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.all {
		i := slices.IndexFunc(m.claims, func(c *claim) bool { return c.pool == p })
		if i < 0 {
			continue
		}
		m.last, m.unowned = &m.claims[i].identity, now
		m.claims = slices.Delete(m.claims, i, i+1)
	}
	r.sweep(now)
}

// waiting returns how many requests of the pool wait, those of its predecessors in
// earlier configurations included.
func (r *memoryRegistry) waiting(p *Pool) (queued, held int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range p.memory.claims {
		queued += c.pool.queue.Queued()
		held += c.pool.queue.Held()
	}
	return queued, held
}

// sweep drops memories that no pool has claimed for too long. r.mu is held.
func (r *memoryRegistry) sweep(now int64) {
	r.all = slices.DeleteFunc(r.all, func(m *memory) bool {
		gone := len(m.claims) == 0 && now-m.unowned >= keepUnused
		if gone {
			m.forget()
		}
		return gone
	})
}

var configSeed = maphash.MakeSeed()

// configOf returns a number that is equal for equal configurations of a policy
// and its handler.
func configOf(policy caddy.Module, handler *reverseproxy.Handler) uint64 {
	var h maphash.Hash
	h.SetSeed(configSeed)
	for _, part := range []any{policy, handler} {
		text, _ := json.Marshal(part) // what cannot be encoded does not count
		h.Write(text)
	}
	return h.Sum64()
}
