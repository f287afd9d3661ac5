package orders

import (
	"cmp"
	"sync"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
)

const unreadable = "the storage cannot be read: the orders of operators go on as they were last known"

// problems are those with the storage that are logged: each once, until it has ended.
type problems struct {
	of    *kind
	mu    sync.Mutex        // guards known
	known map[string]string // by storage key; the key "" is the storage itself
}

// note logs a problem that is new, and the end of one.
func (p *problems) note(at string, err error, message string) {
	p.mu.Lock()
	before := p.known[at]
	if err != nil {
		p.known[at] = err.Error()
	} else {
		delete(p.known, at)
	}
	p.mu.Unlock()
	key := zap.String("key", cmp.Or(at, p.of.prefix))
	switch {
	case err == nil && before != "":
		logger().Info("the orders of operators can be read again", key)
	case err != nil && before == "":
		logger().Warn(message, key, zap.Error(err))
	}
}

// has reports whether there is a problem with the key.
func (p *problems) has(at string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known[at] != ""
}

// keep forgets problems with keys that are not there any more.
func (p *problems) keep(there map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for at := range p.known {
		if at != "" && !there[at] {
			delete(p.known, at)
		}
	}
}

func logger() *zap.Logger { return caddy.Log().Named("load_balancer.orders") }
