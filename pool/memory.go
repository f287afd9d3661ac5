package pool

import (
	"container/list"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-evenkeel/evenkeel/endpoint"
	"github.com/caddy-evenkeel/evenkeel/internal/cache"
	"github.com/caddy-evenkeel/evenkeel/outlier"
)

// memory is what a pool remembers over reloads. It belongs to one pool of a
// configuration, and to the same one of the next: see [memories].
type memory struct {
	policy  string
	claims  []*claim  // of pools that are not closed; guarded by the mutex of memories
	last    *identity // of the latest pool that was closed; likewise
	unowned int64     // since when there is no claim; likewise

	// What dynamic sources have returned is bounded by who asks; static upstreams
	// keep apart from it.
	histories, dynamicHistories cache.Cache[uint64, *history]

	fleet fleet // newcomers start at its mean, also those that come with a reload

	mu        sync.Mutex // guards:
	addresses map[string]*addressState
	idle      list.List      // of *addressState: those that no member has, first the one that has been so for longest
	kept      map[string]any // by policies
}

// addressState is what a pool remembers of an address.
type addressState struct {
	dialled  string
	latency  *Latency
	endpoint *endpoint.Endpoint
	joined   atomic.Int64 // instant at which it joined others that were there before; 0 for never

	// Guarded by the memory's mutex.
	refs     int // members, of all configurations
	left     int64
	idle     *list.Element // nil while a member has it
	ejection string        // rules by which an ejection is kept for who comes next; empty for none
}

const (
	// keep is how long something is remembered that nobody uses: between a reload
	// and its first request, nobody uses what a dynamic source returns.
	keep = int64(5 * time.Minute)

	maxStaticHistories = 16
)

// acquire returns what is remembered of the address; and whether nothing was, or
// no member had it.
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

// release gives back what acquire has returned. The member had an ejection by the
// given rules, if any, which goes with it. With a limit above zero, it is all
// remembered for a while, of so many addresses.
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

// tidy forgets addresses that no member has had for too long, and what dynamic
// upstreams were that nobody has asked for within the given time.
func (m *memory) tidy(now, within int64) {
	m.dynamicHistories.Expire(now - within)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep(now)
}

// sweep is tidy with the mutex held.
func (m *memory) sweep(now int64) {
	for e := m.idle.Front(); e != nil && now-e.Value.(*addressState).left >= keep; e = m.idle.Front() {
		m.drop(e.Value.(*addressState))
	}
}

// drop forgets an address that no member has. The mutex is held.
func (m *memory) drop(a *addressState) {
	if a.idle != nil {
		m.idle.Remove(a.idle)
	}
	if a.ejection != "" {
		outlier.Release(a.ejection, a.dialled)
	}
	delete(m.addresses, a.dialled)
	endpoint.Release(a.dialled)
}

// forget gives all up.
func (m *memory) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range m.addresses {
		m.drop(a)
	}
}

// Kept returns what a picker keeps under the key over reloads, made by create if
// there is nothing yet.
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

// countEjection counts one, for as long as the address is known.
func (a *addressState) countEjection(rule string) {
	metrics.ejections.WithLabelValues(a.dialled, rule).Inc()
	a.endpoint.AtEnd("ejections", func() { // at once, where an attempt has outlived all that knew the address
		for _, rule := range outlier.EveryRule {
			metrics.ejections.DeleteLabelValues(a.dialled, rule)
		}
	})
}
