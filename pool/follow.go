package pool

import (
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
	"github.com/caddy-evenkeel/evenkeel/internal/orders"
)

// FollowedSource is a source of upstreams that says more of them than their addresses,
// and when that changes. It returns the same upstreams for all requests, and for nil.
type FollowedSource interface {
	// ConfiguredWeight returns the weight that the configuration gives to the upstream
	// at the address; false where it gives none.
	ConfiguredWeight(address string) (weight int, ok bool)

	// Ordered returns what operators have changed of the upstream at the address.
	Ordered(address string) orders.Effect

	// Follow has changed called after each change, until end is called. InFlight returns
	// how many requests to the address are in flight. Neither blocks.
	Follow(changed func(), inFlight func(address string) int) (end func())
}

// followed is how a pool follows its source.
type followed struct {
	handler *reverseproxy.Handler // whose source it is; nil without a handler

	meet sync.Once                      // sets the next one
	is   atomic.Pointer[FollowedSource] // nil where it is none of that kind, or is not known yet
	due  atomic.Bool                    // its upstreams are about to be taken in

	mu    sync.Mutex // guards all below
	ended bool
	end   func() // nil unless it is followed
}

// source returns the source; nil for none that is followed.
func (f *followed) source() FollowedSource {
	if s := f.is.Load(); s != nil {
		return *s
	}
	return nil
}

// leave ends it.
func (f *followed) leave() {
	f.mu.Lock()
	f.ended = true
	end := f.end
	f.end = nil
	f.mu.Unlock()
	if end != nil {
		end()
	}
}

// meetSource begins to follow the source. The handler is provisioned: Caddy loads the
// source after the policy.
func (p *Pool) meetSource() {
	f := &p.source.followed
	f.meet.Do(func() {
		if f.handler == nil {
			return
		}
		s, ok := f.handler.DynamicUpstreams.(FollowedSource)
		if !ok {
			return
		}
		f.is.Store(&s)
		f.mu.Lock()
		if !f.ended {
			f.end = s.Follow(p.sourceChanged, p.inFlightOf)
		}
		f.mu.Unlock()
		p.sourceChanged()
	})
}

// sourceChanged has the pool take in what its source returns now, without a request that
// asks: so a new upstream is checked at once, and one that is gone no longer. Changes
// that come before the next time share it.
func (p *Pool) sourceChanged() {
	f := &p.source.followed
	if f.source() == nil || f.due.Swap(true) {
		return
	}
	if !p.background(func() {
		f.due.Store(false)
		p.takeIn()
	}) {
		f.due.Store(false)
	}
}

// takeIn makes the upstreams that the source returns now the pool's.
func (p *Pool) takeIn() {
	upstreams, err := p.source.followed.handler.DynamicUpstreams.GetUpstreams(nil)
	if err != nil || p.isClosed() {
		return
	}
	d, now := &p.dynamic, instant.Now()
	ms := p.membershipOf(upstreams, now)
	ms.seen(now)
	d.show(ms)
	p.dropOthers(ms)
	p.changed()
}

// dropOthers drops the memberships that have members which the given one has not, and
// these members. Requests that wait with such a membership go back to the source first:
// until then all stay.
func (p *Pool) dropOthers(ms *membership) {
	p.building.Lock()
	defer p.building.Unlock()
	d := &p.dynamic
	d.mu.Lock()
	defer d.mu.Unlock()
	has := func(m *member) bool {
		i, ok := ms.index[m.address]
		return ok && ms.members[i] == m
	}
	past := func(other *membership) bool {
		return slices.ContainsFunc(other.members, func(m *member) bool { return !has(m) })
	}
	for _, other := range d.all() {
		if past(other) {
			p.queue.Wake(other)
		}
	}
	if !p.queue.Empty() || !d.keeps(ms) || p.isClosed() {
		return
	}
	d.gone(d.memberships.Drop(past))
	p.dropMembers(func(m *member) bool { return !has(m) }, true)
}

// unlisted reports whether the member is one that a source which is followed has ceased
// to return: operators do not see it.
func (p *Pool) unlisted(m *member) bool {
	if p.source.followed.source() == nil {
		return false
	}
	if i, ok := p.static.index[m.address]; ok && p.static.members[i] == m {
		return false
	}
	ms := p.dynamic.latest.Load()
	if ms == nil {
		return false
	}
	_, ok := ms.index[m.address]
	return !ok
}

// inFlightOf returns how many requests of the pool to the address are in flight.
func (p *Pool) inFlightOf(address string) int {
	m, ok := p.dynamic.members.Load(address)
	if !ok || m.(*member).known == nil {
		return 0
	}
	return m.(*member).known.inFlight()
}

// weightOf returns the weight that the configuration gives to the upstream at the dial
// address: what a source says of it goes before the policy's option.
func (p *Pool) weightOf(address string) int {
	if s := p.source.followed.source(); s != nil {
		if weight, ok := s.ConfiguredWeight(address); ok {
			return weight
		}
	}
	return p.options.weights.get(address, 1)
}

// rosterOf returns the name of the roster that the source of the configuration is; empty
// for another source.
func rosterOf(config json.RawMessage) string {
	var c struct {
		Source string `json:"source"`
		Name   string `json:"name"`
	}
	if json.Unmarshal(config, &c) != nil || c.Source != "roster" {
		return ""
	}
	if c.Name == "" {
		return "default"
	}
	return c.Name
}
