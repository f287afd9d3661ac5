package pool

import (
	"hash/maphash"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
	"github.com/caddy-evenkeel/evenkeel/internal/balance"
	"github.com/caddy-evenkeel/evenkeel/internal/cache"
	"github.com/caddy-evenkeel/evenkeel/outlier"
)

// history is what the next snapshot of a membership depends on, besides the states of
// its members.
type history struct {
	outage    outage     // needs no mutex
	mu        sync.Mutex // guards all below
	panicking bool
	levels    map[int]*balance.SlidingMinimum
}

// historyOf returns the history of a membership: its key is the upstreams and the
// options that set their levels.
func (p *Pool) historyOf(upstreams string, dynamic bool, now int64) *cache.Entry[*history] {
	of, most := &p.memory.histories, maxStaticHistories
	if dynamic {
		of, most = &p.memory.dynamicHistories, 2*maxMemberships // those of two configurations
	}
	key := maphash.String(seed, p.options.signature()+" "+upstreams) // a hash: the text may be long
	if h := of.Get(key); h != nil {
		h.Use(now)
		return h
	}
	h := cache.NewEntry(new(history), 1, now)
	if evicted := of.Put(key, h, most, most); dynamic {
		p.memory.forgetOutages(evicted)
	}
	return h
}

// backups is the level of the upstreams that the option backup names, after all others.
const backups = maxLevel + 1

// level returns the level of the upstream at the given dial address.
func (o *Options) level(address string) int {
	if o.backups.has(address) {
		return backups
	}
	return o.levels.get(address, 0)
}

// onBackups reports whether the traffic goes to the backups: no other upstream is up,
// or has been up for failback_delay.
func (p *Pool) onBackups(h *history, others, backup census, now int64) bool {
	switch {
	case len(p.options.Backups) == 0:
		return false
	case others.up > 0 && backup.up == 0:
		h.forget(backups) // the traffic stays with the others when a backup comes up again
		return false
	}
	well := 0.0
	if others.up > 0 || others.checking > 0 { // no check has seen those down
		well = 1
	}
	trusted := p.trusted(h, backups, well, now) > 0
	if others.up > 0 {
		return !trusted
	}
	return backup.up > 0 || others.weighted == 0
}

// forget drops the history of the level.
func (h *history) forget(level int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.levels, level)
}

// share sets the bounds that share the draws out over the snapshot's tiers. Backups
// have all draws or none.
func (p *Pool) share(next *Snapshot, ms *membership, states []state, onBackups bool, now int64) {
	byLevel := make(map[int]*balance.Level)
	unproven := make(map[int]int)
	for i, s := range states {
		m := ms.members[i]
		if m.weight.Load() == 0 || (m.level == backups) != onBackups {
			continue
		}
		l := byLevel[m.level]
		if l == nil {
			l = &balance.Level{}
			byLevel[m.level] = l
		}
		l.Upstreams++
		switch {
		case s.weight == 0 || s.verdict != healthcheck.Healthy || s.phase == outlier.Ejected || s.lost:
		case s.phase == outlier.Probation:
			unproven[m.level]++
		case s.degraded:
			l.Degraded++
		default:
			l.Healthy++
		}
	}
	numbers := make([]int, 0, len(byLevel))
	for level := range byLevel {
		numbers = append(numbers, level)
	}
	slices.Sort(numbers)
	factor := p.options.overprovisioning()
	levels := make([]balance.Level, len(numbers))
	for i, number := range numbers {
		l := byLevel[number]
		if l.Healthy == 0 {
			// Upstreams on probation need requests to end it.
			l.Healthy = unproven[number]
		}
		l.Trusted = balance.Health(l.Healthy, l.Upstreams, factor)
		if !onBackups {
			l.Trusted = p.trusted(ms.history, number, l.Trusted, now)
		}
		levels[i] = *l
	}
	loads := balance.Loads(levels, factor)
	if len(next.tiers) < 2 || next.tiers[len(next.tiers)-1].failing {
		return
	}
	sum := 0.0
	next.bounds = make([]uint32, len(next.tiers))
	for i, t := range next.tiers {
		if n, ok := slices.BinarySearch(numbers, t.level); ok && t.degraded {
			sum += loads[n].Degraded
		} else if ok {
			sum += loads[n].Healthy
		}
		next.bounds[i] = uint32(min(sum, 1) * math.MaxUint32)
	}
	if sum == 0 {
		next.bounds = nil
	}
}

// trusted returns the least health that the level has had within failback_delay.
func (p *Pool) trusted(h *history, level int, health float64, now int64) float64 {
	delay := int64(time.Duration(p.options.FailbackDelay))
	if delay == 0 {
		return health
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.levels[level]
	if l == nil {
		if h.levels == nil {
			h.levels = make(map[int]*balance.SlidingMinimum)
		}
		l = new(balance.SlidingMinimum)
		h.levels[level] = l
	}
	least, until := l.Least(health, now, delay)
	p.wakeUp.Before(until)
	return least
}
