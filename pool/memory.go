package pool

import (
	"container/list"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-evenkeel/evenkeel/internal/cache"
	"github.com/caddy-evenkeel/evenkeel/internal/registry"
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

	mu     sync.Mutex // guards:
	places map[string]*place
	idle   list.List // of *place: those that no member has, first who has been so for longest
	kept   map[string]any
}

// place is what a pool remembers of an address.
type place struct {
	dialled  string
	latency  *Latency
	endpoint *endpoint
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
func (m *memory) acquire(dialled string, now int64) (p *place, isNew, wasIdle bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep(now)
	p = m.places[dialled]
	if isNew = p == nil; isNew {
		a := endpoints.Acquire(dialled, func() *endpoint { return &endpoint{slots: new(slots)} })
		p = &place{dialled: dialled, endpoint: a, latency: &Latency{flights: &a.flights}}
		if m.places == nil {
			m.places = make(map[string]*place)
		}
		m.places[dialled] = p
	}
	wasIdle = p.refs == 0
	p.refs++
	if p.idle != nil {
		m.idle.Remove(p.idle)
		p.idle = nil
	}
	return p, isNew, wasIdle
}

// release gives back what acquire has returned. The member had an ejection by the
// given rules, if any, which goes with it. With a limit above zero, it is all
// remembered for a while, of so many addresses.
func (m *memory) release(p *place, rules string, limit int, now int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep(now)
	p.refs--
	if limit > 0 && p.refs == 0 && rules != "" {
		p.ejection, rules = rules, p.ejection
	}
	if rules != "" {
		outliers.Release(outlierKey{rules, p.dialled})
	}
	switch {
	case p.refs > 0:
	case limit == 0:
		m.drop(p)
	default:
		p.left = now
		p.idle = m.idle.PushBack(p)
		for m.idle.Len() > limit {
			m.drop(m.idle.Front().Value.(*place))
		}
	}
}

// tidy forgets places that no member has had for too long, and what dynamic
// upstreams were that nobody has asked for within the given time.
func (m *memory) tidy(now, within int64) {
	m.dynamicHistories.Expire(now - within)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep(now)
}

// sweep is tidy with the mutex held.
func (m *memory) sweep(now int64) {
	for e := m.idle.Front(); e != nil && now-e.Value.(*place).left >= keep; e = m.idle.Front() {
		m.drop(e.Value.(*place))
	}
}

// drop forgets a place that no member has. The mutex is held.
func (m *memory) drop(p *place) {
	if p.idle != nil {
		m.idle.Remove(p.idle)
	}
	if p.ejection != "" {
		outliers.Release(outlierKey{p.ejection, p.dialled})
	}
	delete(m.places, p.dialled)
	endpoints.Release(p.dialled)
}

// forget gives all up.
func (m *memory) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.places {
		m.drop(p)
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

// endpoint is what is known of a dial address in the whole process.
type endpoint struct {
	flights inFlight
	ejected atomic.Bool // has been, so that there is a metric of it
	dropped atomic.Bool // nobody uses it any more
	slots   *slots
	_       [8]byte // to a cache line of 64 bytes
}

// endpoints are all that are in use or remembered.
var endpoints = registry.Registry[string, endpoint]{Drop: func(dialled string, a *endpoint) {
	a.dropped.Store(true)
	if a.ejected.Load() {
		uncountEjections(dialled)
	}
}}

// countEjection counts one, for as long as the address is known.
func (p *place) countEjection(rule string) {
	p.endpoint.ejected.Store(true)
	metrics.ejections.WithLabelValues(p.dialled, rule).Inc()
	if p.endpoint.dropped.Load() { // an attempt may end after all who knew the address have gone
		uncountEjections(p.dialled)
	}
}

func uncountEjections(dialled string) {
	for _, rule := range everyRule {
		metrics.ejections.DeleteLabelValues(dialled, rule)
	}
}
