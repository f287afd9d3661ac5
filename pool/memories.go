package pool

import (
	"encoding/json"
	"hash/maphash"
	"slices"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// memories are those of all pools. Which one belongs to a pool of a new
// configuration is told by the pools that had them before: pools of one policy that
// are the same in all that is configured; else in their upstreams; else in as many
// of these as possible; among equals, the one that was made first. Who is more like
// the one before has precedence, whichever is provisioned first. Two pools of one
// configuration never have the same.
var memories memoryRegistry

type memoryRegistry struct {
	mu  sync.Mutex
	all []*memory // in the order in which they were made
}

// identity is what a pool is known by.
type identity struct {
	config    uint64   // of policy and handler, as a hash
	upstreams []string // static ones, and what its source asks for; sorted, none twice
}

// claim is a pool's on a memory.
type claim struct {
	identity
	pool     *Pool
	likeness int
}

// Levels of likeness between two pools of one policy; below, it is the number of
// upstreams that they have in common.
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

// likeness returns how much the pool is like those that have the memory, or had it
// last.
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

// claimOf returns the claim of a pool of the given configuration, if there is one.
func (m *memory) claimOf(generation uint64) *claim {
	for _, c := range m.claims {
		if c.pool.generation == generation {
			return c
		}
	}
	return nil
}

// claim gives the pool its memory. Pools that it takes theirs away from get
// another one; they are of the same configuration, and so do not serve yet.
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

// best returns the memory that the claim is best on, made if there is none. The
// mutex is held.
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

// release ends the pool's claim. What it remembers is kept for a while.
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

// sweep drops memories that no pool has had for too long. The mutex is held.
func (r *memoryRegistry) sweep(now int64) {
	r.all = slices.DeleteFunc(r.all, func(m *memory) bool {
		gone := len(m.claims) == 0 && now-m.unowned >= keep
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
		text, _ := json.Marshal(part) // what cannot be encoded is not told apart
		h.Write(text)
	}
	return h.Sum64()
}
