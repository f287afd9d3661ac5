package pool

import (
	"fmt"
	"strings"
	"sync"

	"go.uber.org/zap"

	"github.com/caddy-evenkeel/evenkeel/internal/app"
)

// poolNames are the names of the pools of one configuration.
type poolNames struct {
	mu    sync.Mutex // guards taken
	taken map[string]bool
}

func (p *Pool) names() *poolNames {
	return app.Shared(p.app, func() *poolNames { return &poolNames{taken: make(map[string]bool)} })
}

// take takes a name, unless another pool has it.
func (n *poolNames) take(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.taken[name] {
		return false
	}
	n.taken[name] = true
	return true
}

// setName gives the pool the name that its options give.
func (p *Pool) setName() error {
	if p.name = p.options.Name; p.name == "" {
		return nil
	}
	if p.app != nil && !p.names().take(p.name) {
		return fmt.Errorf("name: another pool has the name '%s', too", p.name)
	}
	p.named()
	return nil
}

// named has logs and placeholders say the pool's name.
func (p *Pool) named() {
	p.logger = p.logger.With(zap.String("pool", p.name))
	p.placeholders = placeholders{p.name, p.policy}
}

// setDefaultName gives the pool a name if its options give none: the policy and the
// first upstream or what its source asks for. Further pools of which both are the same
// are numbered; they keep the number over reloads.
func (p *Pool) setDefaultName() {
	if p.name != "" {
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
	p.name = base
	if p.app != nil {
		names, kept := p.names(), p.memory.name
		if kept == base || strings.HasPrefix(kept, base+"~") {
			p.name = kept
		}
		for n := 1; !names.take(p.name); n++ {
			p.name = base
			if n > 1 {
				p.name = fmt.Sprintf("%s~%d", base, n)
			}
		}
	}
	p.named()
}
