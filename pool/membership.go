package pool

import (
	"sync/atomic"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/cache"
	"github.com/caddy-evenkeel/evenkeel/outlier"
)

// membership is a set of upstreams that are picked from together: the handler's
// static ones, or those that a dynamic source has returned at a time. Its members
// never change; its snapshot does.
type membership struct {
	members      []*member
	upstreams    []*reverseproxy.Upstream // of the members; nil where they are dynamic
	index        map[string]int           // of the members by address
	history      *history
	levels       map[int]*Level    // by number; also all
	levelIndices [2][]int          // of the members: in their levels, and in all
	arranged     []uint32          // weights of the members, as the levels have them
	sessions     *sessionsByPolicy // nil where no policy has sessions
	snapshot     atomic.Pointer[Snapshot]
	ejectable    outlier.Group // of the pool's detector

	// Only where members are dynamic: entries of the membership and of its history in
	// their caches. They stay while requests use them.
	print uint64 // key of the membership
	item  *cache.Entry[*membership]
	past  *cache.Entry[*history]
}

// show makes the membership the one that requests look at first, unless the cache has
// evicted it: then it is no longer rebuilt.
func (d *dynamics) show(ms *membership) {
	d.latest.Store(ms)
	if !d.keeps(ms) {
		d.latest.CompareAndSwap(ms, nil)
	}
}

// keeps reports whether the membership is rebuilt when something changes.
func (d *dynamics) keeps(ms *membership) bool {
	item := d.memberships.Get(ms.print)
	return item != nil && item.Value == ms
}

// gone is called with the memberships that the cache has evicted.
func (d *dynamics) gone(memberships []*membership) {
	for _, ms := range memberships {
		ms.snapshot.Load().leaveTotals(new(Snapshot))
		d.latest.CompareAndSwap(ms, nil)
	}
}

// all is the number of a level that has the upstreams of all levels, without backups.
const all = -1

// arrange gives the members their levels, and their indices there.
func (ms *membership) arrange() {
	ms.levels = map[int]*Level{all: {}}
	ms.levelIndices, ms.arranged = [2][]int{}, make([]uint32, len(ms.members))
	for i, m := range ms.members {
		ms.arranged[i] = m.weight.Load()
		if ms.levels[m.level] == nil {
			ms.levels[m.level] = &Level{}
		}
		ms.levelIndices[0] = append(ms.levelIndices[0], ms.levels[m.level].take(m))
		if m.level == backups {
			ms.levelIndices[1] = append(ms.levelIndices[1], ms.levelIndices[0][len(ms.levelIndices[0])-1])
		} else {
			ms.levelIndices[1] = append(ms.levelIndices[1], ms.levels[all].take(m))
		}
	}
}

// take adds the member to the level, unless it has no weight, and returns its index
// there.
func (l *Level) take(m *member) (index int) {
	index = len(l.Addresses)
	if m.weight.Load() > 0 {
		l.Addresses = append(l.Addresses, m.address)
		l.Weights = append(l.Weights, m.weight.Load())
	}
	return index
}
