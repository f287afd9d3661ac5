package pool

import (
	"container/list"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/endpoint"
	"github.com/caddy-evenkeel/evenkeel/internal/budget"
	"github.com/caddy-evenkeel/evenkeel/internal/cache"
	"github.com/caddy-evenkeel/evenkeel/outlier"
)

// memory is what a pool remembers over reloads. It belongs to one pool of a
// configuration, and to the same pool of the next: see [memories].
type memory struct {
	policy string
	name   atomic.Pointer[naming] // of the pool that has served with it last; nil for none

	// Guarded by the mutex of memories.
	claims  []*claim  // of pools that are not closed
	last    *identity // of the latest pool that was closed
	unowned int64     // instant since when there is no claim

	// Histories of static and of dynamic memberships. They are apart, since clients may
	// push out those of dynamic ones.
	histories, dynamicHistories cache.Cache[uint64, *history]

	outages atomic.Int32 // dynamic memberships that have lost their last upstream, by their histories

	fleet  fleet         // newcomers start at its mean
	budget budget.Budget // of extra attempts
	tally  tally

	mu        sync.Mutex // guards all below
	addresses map[string]*addressState
	forgotten uint64         // attempts on addresses that are forgotten
	idle      list.List      // of *addressState: those that no member has, longest idle first
	kept      map[string]any // what policies keep, by their keys
}

// addressState is what a pool remembers of an address.
type addressState struct {
	dialled  string
	latency  *Latency
	endpoint *endpoint.Endpoint
	joined   atomic.Int64 // instant at which it joined others that were there before; 0 for never
	shown    atomic.Pointer[shown]
	counters counters
	counted  atomic.Pointer[reverseproxy.Host] // of the latest attempt: Caddy counts its requests

	// Guarded by the memory's mutex.
	refs     int           // members, of all configurations
	left     int64         // instant since when no member has it
	idle     *list.Element // in the memory's idle list; nil while a member has it
	ejection string        // key of the rules whose host is kept for the next member; empty for none
}

const (
	// keepUnused is how long something is remembered that is not in use. A dynamic
	// upstream is not in use between a reload and the first request after it.
	keepUnused = int64(5 * time.Minute)

	maxStaticHistories = 16
)

// acquire returns the state of the address. IsNew is whether nothing was remembered of
// it, wasIdle whether no member had it. [memory.release] gives it back.
func (m *memory) acquire(dialled string, now int64) (a *addressState, isNew, wasIdle bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep(now)
	a = m.addresses[dialled]
	if isNew = a == nil; isNew {
		a = &addressState{dialled: dialled, endpoint: endpoint.Acquire(dialled), latency: new(Latency)}
		if m.addresses == nil {
			m.addresses = make(map[string]*addressState)
		}
		m.addresses[dialled] = a
	}
	wasIdle = a.refs == 0
	a.refs++
	if a.idle != nil {
		m.idle.Remove(a.idle)
		a.idle = nil
	}
	return a, isNew, wasIdle
}

// release gives back what acquire has returned, and the member's host under the rules
// of the key; empty for none. With a limit above zero, both are remembered for a while,
// of so many addresses.
func (m *memory) release(a *addressState, rules string, limit int, now int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep(now)
	a.refs--
	if limit > 0 && a.refs == 0 && rules != "" {
		a.ejection, rules = rules, a.ejection
	}
	if rules != "" {
		outlier.Release(rules, a.dialled)
	}
	switch {
	case a.refs > 0:
	case limit == 0:
		m.drop(a)
	default:
		a.left = now
		a.idle = m.idle.PushBack(a)
		for m.idle.Len() > limit {
			m.drop(m.idle.Front().Value.(*addressState))
		}
	}
}

// tidy forgets addresses that no member has had for too long, and the histories of
// dynamic memberships that were not used within the time.
func (m *memory) tidy(now, within int64) {
	m.forgetOutages(m.dynamicHistories.Expire(now - within))
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep(now)
}

// sweep forgets addresses that no member has had for too long. m.mu is held.
func (m *memory) sweep(now int64) {
	for e := m.idle.Front(); e != nil && now-e.Value.(*addressState).left >= keepUnused; e = m.idle.Front() {
		m.drop(e.Value.(*addressState))
	}
}

// drop forgets an address that no member has. m.mu is held.
func (m *memory) drop(a *addressState) {
	if a.idle != nil {
		m.idle.Remove(a.idle)
	}
	if a.ejection != "" {
		outlier.Release(a.ejection, a.dialled)
	}
	delete(m.addresses, a.dialled)
	m.forgotten += a.counters.begun.Load()
	endpoint.Release(a.dialled)
}

// forget forgets all addresses.
func (m *memory) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range m.addresses {
		m.drop(a)
	}
}

// Kept returns what a policy keeps under the key over reloads. Create makes it if there
// is nothing yet.
func (m *memory) Kept(key string, create func() any) any {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept == nil {
		m.kept = make(map[string]any)
	}
	if m.kept[key] == nil {
		m.kept[key] = create()
	}
	return m.kept[key]
}

// inFlight returns how many attempts of the pool on the address are in flight, web sockets
// included. Nobody tells of the end of an attempt whose response is left open, as Caddy may
// leave it when the client has gone: what Caddy counts of all handlers bounds the number.
func (a *addressState) inFlight() int {
	done := a.counters.done.Load() // first: then it is never above those begun
	n := int(a.counters.begun.Load() - done)
	if host := a.counted.Load(); host != nil {
		n = min(n, host.NumRequests())
	}
	return n
}
