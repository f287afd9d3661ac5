package pool

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
	"github.com/caddy-evenkeel/evenkeel/internal/orders"
)

// Start builds the first snapshot. It is called after the policies inside are
// provisioned.
func (h *Handle) Start() error {
	if !h.owner {
		return nil
	}
	p := h.pool
	p.building.Lock() // a check shared with the running configuration may flip
	defer p.building.Unlock()
	now := instant.Now()
	p.identity.upstreams = slices.Compact(slices.Sorted(slices.Values(append(dials(p.statics), p.source.names...))))
	memories.claim(p, now)
	p.awaitName()
	if p.checks != nil {
		p.checks.Pool = p.Name
	}
	p.recall()
	ms := &membership{upstreams: p.statics, index: make(map[string]int)}
	p.static = ms
	fresh := make(map[string]bool) // dialled addresses that the pool had no member at
	for i, address := range dials(p.statics) {
		m, _, wasIdle := p.newMember(address, now)
		m.limit = p.limitOf(p.statics[i])
		if _, again := fresh[m.dialled]; !again {
			fresh[m.dialled] = wasIdle
		}
		if _, ok := ms.index[address]; !ok {
			ms.index[address] = i
		}
		ms.members = append(ms.members, m)
		if err := p.watch(m, nil); err != nil {
			return fmt.Errorf("upstream %s: %v", address, err)
		}
	}
	ms.history = p.historyOf(strings.Join(p.identity.upstreams, " "), false, now).Value
	noteJoined(ms.members, func(m *member) bool { return fresh[m.dialled] }, now)
	ms.arrange()
	p.makeSessions(ms)
	p.orders = orders.Default.Subscribe(p.changed)
	p.build(ms)
	p.nextInterval(now)
	if p.app != nil && p.transport != nil {
		p.app.AtStart(func() {
			p.names().settle()
			p.memory.name.Store(p.naming.Load())
			p.serve()
			p.Obey() // orders for the pool by its name
			p.tellStart()
			p.meetSource()
		})
	}
	return nil
}

// moveTo gives the pool another memory, since another pool of its configuration has a
// better claim on its own. The pool has not served yet.
func (p *Pool) moveTo(to *memory) {
	p.building.Lock()
	defer p.building.Unlock()
	if p.isClosed() || !p.started() {
		return
	}
	from, now := p.memory, instant.Now()
	p.memory = to
	p.recall()
	fresh := make(map[string]bool)
	for _, m := range p.static.members {
		if m.known == nil {
			continue
		}
		known, _, wasIdle := to.acquire(m.dialled, now)
		if _, again := fresh[m.dialled]; !again {
			fresh[m.dialled] = wasIdle
		}
		from.release(m.known, "", max(p.limit, len(p.statics)), now) // it stays for the pool that the memory belongs to
		m.known, m.latency = known, known.latency
	}
	p.static.history = p.historyOf(strings.Join(p.identity.upstreams, " "), false, now).Value
	noteJoined(p.static.members, func(m *member) bool { return fresh[m.dialled] }, now)
	p.build(p.static)
}

// recall gives the pool and its policies what the memory has of them.
func (p *Pool) recall() {
	p.fleet = &p.memory.fleet
	if p.options.budget != nil {
		p.budget = &p.memory.budget
	}
	for _, h := range p.handles {
		if remember := h.features.Remember; remember != nil {
			remember(p.memory.Kept)
		}
	}
}

// started reports whether the first snapshot is built. Others may only follow it. The
// mutex building is held.
func (p *Pool) started() bool { return p.static != nil && p.static.snapshot.Load() != nil }
