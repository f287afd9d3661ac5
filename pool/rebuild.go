package pool

import "time"

// longestRest bounds how late a change comes to bear in a large pool.
const longestRest = 100 * time.Millisecond

// changed has the snapshots made anew, for something has changed. Changes that
// come while one is being made share the next, before which the pool rests for as
// long as the last one took: a storm of changes in a large pool takes half of one
// core at most.
func (p *Pool) changed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stale || p.closed {
		return
	}
	p.stale = true
	p.builds.Go(func() {
		time.Sleep(time.Duration(p.rested.Load() - instant(time.Now())))
		p.building.Lock()
		defer p.building.Unlock()
		began := time.Now()
		defer func() { p.rested.Store(instant(time.Now().Add(min(time.Since(began), longestRest)))) }()
		p.mu.Lock()
		p.stale = false
		p.mu.Unlock()
		if !p.started() {
			return // Start has failed, or sees to it
		}
		p.build(p.static)
		for _, v := range p.dynamic.all() {
			p.build(v)
		}
	})
}
