package pool

import (
	"time"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
)

const (
	// manyMembers is from how many upstreams on a pool rests between two builds.
	manyMembers = 1000

	// longestRest bounds how late a change comes to bear in such a pool.
	longestRest = 100 * time.Millisecond
)

// changed has the snapshots made anew, for something has changed. Changes that
// come while one is being made share the next. Before that, a pool of many
// upstreams rests for as long as the last one took: a storm of changes takes half
// of one core at most.
func (p *Pool) changed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stale || p.closed {
		return
	}
	p.stale = true
	p.builds.Go(func() {
		time.Sleep(time.Duration(p.rested.Load() - instant.Now()))
		p.building.Lock()
		defer p.building.Unlock()
		p.mu.Lock()
		p.stale = false
		p.mu.Unlock()
		if !p.started() {
			return // Start has failed, or sees to it
		}
		began := time.Now()
		if p.rebuild() >= manyMembers {
			p.rested.Store(instant.Of(time.Now().Add(min(time.Since(began), longestRest))))
		}
	})
}

// rebuild makes the snapshots of all memberships, and returns of how many members. The
// mutex building is held.
func (p *Pool) rebuild() (members int) {
	p.build(p.static)
	members = len(p.static.members)
	for _, ms := range p.dynamic.all() {
		p.build(ms)
		members += len(ms.members)
	}
	return members
}
