package pool

import (
	"time"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
)

const (
	// manyMembers is from how many upstreams on a pool rests between two builds.
	manyMembers = 1000

	// longestRest bounds how long a change waits in such a pool.
	longestRest = 100 * time.Millisecond
)

// changed has the snapshots rebuilt, since something has changed. Changes that come
// before the next build share it. A pool of many upstreams rests after a build for as
// long as that took: a storm of changes takes half of one core at most.
func (p *Pool) changed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stale || p.ended {
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
			return // Start has failed, or is about to build
		}
		began := time.Now()
		if p.rebuild() >= manyMembers {
			p.rested.Store(instant.Of(time.Now().Add(min(time.Since(began), longestRest))))
		}
	})
}

// rebuild builds the snapshots of all memberships. It returns the number of their
// members. The mutex building is held.
func (p *Pool) rebuild() (members int) {
	p.build(p.static)
	members = len(p.static.members)
	for _, ms := range p.dynamic.all() {
		p.build(ms)
		members += len(ms.members)
	}
	return members
}
