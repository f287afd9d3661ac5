package pool

import (
	"cmp"
	"slices"
	"sync"
)

// servingPools are the pools of configurations that have started, until they are closed.
// A configuration that fails to load is never among them for longer than its start
// takes.
var servingPools struct {
	mu  sync.Mutex // guards all
	all map[*Pool]struct{}
}

// serve adds the pool to those that serve.
func (p *Pool) serve() {
	servingPools.mu.Lock()
	defer servingPools.mu.Unlock()
	if p.isClosed() {
		return
	}
	if servingPools.all == nil {
		servingPools.all = make(map[*Pool]struct{})
	}
	servingPools.all[p] = struct{}{}
	p.serving.Store(true)
}

// leave removes the pool from those that serve.
func (p *Pool) leave() {
	servingPools.mu.Lock()
	defer servingPools.mu.Unlock()
	delete(servingPools.all, p)
	p.serving.Store(false)
}

// Serving returns the pools that serve, by their names. While one configuration takes
// over from another, of two pools with one name the newer one counts.
func Serving() []*Pool {
	servingPools.mu.Lock()
	defer servingPools.mu.Unlock()
	all := make([]*Pool, 0, len(servingPools.all))
	for p := range servingPools.all {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *Pool) int {
		return cmp.Or(cmp.Compare(a.Name(), b.Name()), -cmp.Compare(a.generation, b.generation))
	})
	return slices.CompactFunc(all, func(a, b *Pool) bool { return a.Name() == b.Name() })
}

// Name returns the name of the pool.
func (p *Pool) Name() string { return p.naming.Load().name }
