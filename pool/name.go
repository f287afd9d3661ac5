package pool

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"go.uber.org/zap"

	"github.com/caddy-evenkeel/evenkeel/internal/app"
)

// naming is the name of a pool, and what says it. It does not change.
type naming struct {
	name   string
	base   string // that it is made from, where the options give none
	shared bool   // other pools of the configuration have the same base
	final  bool   // no other pool of the configuration gets it
	logger *zap.Logger

	pool, policy any // values of placeholders, boxed once for all requests
}

// poolNames are the names of the pools of one configuration. Pools without a name of
// their own get theirs together, once the configuration starts: which of several that are
// alike was there before shows only when all are provisioned, and Caddy provisions them in
// no order.
type poolNames struct {
	mu      sync.Mutex // guards all below
	taken   map[string]bool
	waiting []*Pool // for their names
}

func (p *Pool) names() *poolNames {
	return app.Shared(p.app, func() *poolNames { return &poolNames{taken: make(map[string]bool)} })
}

// call gives the pool a name.
func (p *Pool) call(n naming) {
	n.logger = p.baseLogger.With(zap.String("pool", n.name))
	n.pool, n.policy = n.name, p.policy
	p.naming.Store(&n)
}

// log returns the logger that says the pool's name.
func (p *Pool) log() *zap.Logger { return p.naming.Load().logger }

// setName gives the pool the name that its options give, if they do.
func (p *Pool) setName() error {
	name := p.options.Name
	if name == "" {
		return nil
	}
	if p.app != nil {
		names := p.names()
		names.mu.Lock()
		defer names.mu.Unlock()
		if names.taken[name] {
			return fmt.Errorf("name: another pool has the name '%s', too", name)
		}
		names.taken[name] = true
	}
	p.call(naming{name: name, final: true})
	return nil
}

// awaitName has the pool get a name when the configuration starts, if its options give
// none: the policy and the first upstream, or what its source asks for.
func (p *Pool) awaitName() {
	if p.options.Name != "" {
		return
	}
	first := ""
	switch {
	case len(p.statics) > 0:
		first = p.statics[0].Dial
	case len(p.source.asks) > 0:
		first = strings.Trim(strings.Join(p.source.asks, ":"), ":")
	case p.source.roster != "":
		first = p.source.roster
	case len(p.source.names) > 0:
		first = "dynamic"
	}
	base := p.policy + "@" + first
	p.call(naming{name: base, base: base, final: p.app == nil})
	if p.app == nil {
		return
	}
	names := p.names()
	names.mu.Lock()
	defer names.mu.Unlock()
	names.waiting = append(names.waiting, p)
}

// settle gives all pools that wait for one their names. One that goes on from an earlier
// configuration keeps its name; further ones of the same base are numbered, in an order
// that depends on their configuration alone.
func (n *poolNames) settle() {
	n.mu.Lock()
	defer n.mu.Unlock()
	bases := make(map[string]int)
	for _, p := range n.waiting {
		bases[p.naming.Load().base]++
	}
	give := func(p *Pool, name string) {
		n.taken[name] = true
		base := p.naming.Load().base
		p.call(naming{name: name, base: base, shared: bases[base] > 1, final: true})
	}
	n.waiting = slices.DeleteFunc(n.waiting, func(p *Pool) bool {
		kept, base := p.memory.name.Load(), p.naming.Load().base
		if kept == nil || kept.base != base || n.taken[kept.name] {
			return false
		}
		give(p, kept.name)
		return true
	})
	slices.SortStableFunc(n.waiting, func(a, b *Pool) int { return cmp.Compare(a.likeness(), b.likeness()) })
	for _, p := range n.waiting {
		base := p.naming.Load().base
		name := base
		for i := 2; n.taken[name]; i++ {
			name = fmt.Sprintf("%s~%d", base, i)
		}
		give(p, name)
	}
	n.waiting = nil
}

// likeness returns a text that differs for pools of other configurations, and is the same
// in all processes.
func (p *Pool) likeness() string {
	text, _ := json.Marshal(p.options) // what cannot be encoded does not count
	return fmt.Sprintf("%s %x", strings.Join(p.identity.upstreams, " "), sha256.Sum256(text))
}

// orderedAs returns the name that orders for the pool have. While the pool waits for its
// name, that is the one that it is going to keep; empty where there is none.
func (p *Pool) orderedAs() string {
	n := p.naming.Load()
	if n.final {
		return n.name
	}
	if p.memory != nil {
		if kept := p.memory.name.Load(); kept != nil && kept.base == n.base {
			return kept.name
		}
	}
	return ""
}

// Shared reports whether the pool's name is one of several that were made up for pools
// that are alike: another one of them may have it after a restart.
func (p *Pool) Shared() bool { return p.naming.Load().shared }
