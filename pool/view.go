package pool

import (
	"cmp"
	"slices"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
	"github.com/caddy-evenkeel/evenkeel/internal/cache"
	"github.com/caddy-evenkeel/evenkeel/internal/instant"
)

// view is a set of upstreams that are picked from together: the handler's
// static ones, or what a dynamic source has returned. Its members never change,
// its snapshot does.
type view struct {
	members      []*member
	upstreams    []*reverseproxy.Upstream // of the members; nil where they are dynamic
	index        map[string]int           // of the members by address
	history      *history
	levels       map[int]*Level
	levelIndices [2][]int             // of the members: in their levels, and among all
	sessions     map[*Handle]Sessions // of the policies that have some
	snapshot     atomic.Pointer[Snapshot]
	ejectable    ejectable // guarded by the pool's ejecting

	// Only where members are dynamic: the view itself and its history, which are kept
	// for as long as somebody asks for them.
	print uint64 // what it is kept under
	item  *cache.Entry[*view]
	past  *cache.Entry[*history]
}

// show makes the view the one that requests look at first, unless it has gone from
// the cache: then it is not rebuilt any more.
func (d *dynamics) show(v *view) {
	d.latest.Store(v)
	if item := d.views.Get(v.print); item == nil || item.Value != v {
		d.latest.CompareAndSwap(v, nil)
	}
}

// gone is called with the views that the cache has evicted.
func (d *dynamics) gone(views []*view) {
	for _, v := range views {
		v.snapshot.Load().discount(new(Snapshot))
		d.latest.CompareAndSwap(v, nil)
	}
}

// all is the number of the level that has the upstreams of all others but backups.
const all = -1

// arrange gives the members their levels, and their indices there.
func (v *view) arrange() {
	v.levels = map[int]*Level{all: {}}
	for _, m := range v.members {
		if v.levels[m.level] == nil {
			v.levels[m.level] = &Level{}
		}
		v.levelIndices[0] = append(v.levelIndices[0], v.levels[m.level].take(m))
		if m.level == backups {
			v.levelIndices[1] = append(v.levelIndices[1], v.levelIndices[0][len(v.levelIndices[0])-1])
		} else {
			v.levelIndices[1] = append(v.levelIndices[1], v.levels[all].take(m))
		}
	}
}

// take adds the member to the level, unless it has no weight, and returns its index
// there.
func (l *Level) take(m *member) (index int) {
	index = len(l.Addresses)
	if m.weight > 0 {
		l.Addresses = append(l.Addresses, m.address)
		l.Weights = append(l.Weights, m.weight)
	}
	return index
}

// tierOf returns the snapshot's tier that has just these upstreams, told by the
// slice itself; nil if there is none.
func (s *Snapshot) tierOf(upstreams []*reverseproxy.Upstream) *Tier {
	for _, t := range s.tiers {
		if same(upstreams, t.upstreams) {
			return t
		}
	}
	return nil
}

func same(a, b []*reverseproxy.Upstream) bool {
	return len(a) == len(b) && len(b) > 0 && &a[0] == &b[0]
}

// build makes the view's snapshot. The pool's mutex building is held.
func (p *Pool) build(v *view) {
	now := instant.Now()
	before := v.snapshot.Load()
	stands := make([]standing, len(v.members))
	p.recount()
	var others, backup census
	steady := 0 // that are up, and do not fail every attempt
	for i, m := range v.members {
		s := m.stand(p.options, now)
		stands[i] = s
		of := &others
		if m.level == backups {
			of = &backup
		}
		switch {
		case m.weight == 0 || s.weight == 0:
		case s.verdict == healthcheck.Checking:
			of.checking++ // no panic lets those in
		default:
			of.weighted++
		}
		if s.up() {
			of.up++
			if !s.failing {
				steady++
			}
		}
		if in := s.verdict == healthcheck.Healthy && s.phase != ejected; m.in != in {
			m.in = in
			m.latency.forget() // it comes back as a newcomer
		}
		p.wakeUp.Before(s.until)
	}
	onBackups := p.onBackups(v.history, others, backup, now)
	serving := others
	if onBackups {
		serving = backup
	}
	next := &Snapshot{panicking: p.panics(serving)}
	p.compose(next, before, v, stands, onBackups, steady == 0)
	if !next.panicking || onBackups {
		p.share(next, v, stands, onBackups, now)
	}
	if len(next.tiers) == 1 && !next.tiers[0].gated && p.line == nil && !p.counting && !p.sessions && !p.observer.marks() {
		next.plain = next.tiers[0]
	}
	p.admit(next, v, stands)
	p.count(v, stands)
	next.findProbing()
	p.notePanic(v.history, next, serving)
	v.snapshot.Store(next)
	if before != nil {
		before.discount(next)
	}
	for i, s := range stands {
		if s.failing && steady > 0 { // there is another one now
			p.eject(v.members[i], byLocal, false)
		}
	}
}

// compose makes the snapshot's tiers. Where nobody is up, or the last ones fail
// every attempt, ejections do not count; those that fail come last.
// Where the traffic is the backups', a panic lets in nobody else.
func (p *Pool) compose(next, before *Snapshot, v *view, stands []standing, onBackups, nobody bool) {
	type place struct {
		failing, backup, degraded bool
		level                     int
	}
	places := make(map[place][]int)
	var out reservists
	next.unproven = true
	for i, s := range stands {
		level := v.members[i].level
		at := place{backup: level == backups, degraded: s.degraded, level: level}
		switch {
		case s.weight == 0 || s.verdict == healthcheck.Checking:
			continue
		case next.panicking && (at.backup == onBackups || nobody):
			at.degraded = false
			if !at.backup {
				at.level = 0
			}
		case s.verdict != healthcheck.Healthy:
			out.unhealthy = append(out.unhealthy, i)
			continue
		case s.phase == ejected && !nobody:
			out.ejected = append(out.ejected, i)
			continue
		}
		at.failing = s.failing && nobody
		next.unproven = next.unproven && (s.phase != serving || at.failing)
		places[at] = append(places[at], i)
	}
	next.reserve = p.keep(out, v, stands)
	order := make([]place, 0, len(places))
	for at := range places {
		order = append(order, at)
	}
	slices.SortFunc(order, func(a, b place) int {
		return cmp.Or(compare(a.failing, b.failing), compare(a.backup, b.backup), compare(a.degraded, b.degraded), a.level-b.level)
	})
	for _, at := range order {
		t := &Tier{level: at.level, degraded: at.degraded, failing: at.failing, Level: v.levels[at.level], sessions: v.sessions}
		indices := v.levelIndices[0]
		if next.panicking && !onBackups && !at.backup { // of all levels
			t.Level, indices = v.levels[all], v.levelIndices[1]
		}
		next.tiers = append(next.tiers, p.tier(t, before, v, stands, places[at], indices))
	}
}

// compare orders what is false before what is true.
func compare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// tier fills in the tier of the given members. What was there before stays as it
// is if nothing has changed for it.
func (p *Pool) tier(t *Tier, before *Snapshot, v *view, stands []standing, members, levelIndices []int) *Tier {
	weights, most := make([]float64, len(members)), 0.0
	for n, i := range members {
		weights[n] = stands[i].weight * float64(stands[i].percent) / 100
		most = max(most, weights[n]/float64(v.members[i].weight))
	}
	for n, w := range scale(weights) {
		i := members[n]
		m, s := v.members[i], stands[i]
		t.Candidates = append(t.Candidates, Candidate{
			Address: m.address, Weight: w, Latency: m.latency, LevelIndex: levelIndices[i],
			Ramp:   weights[n] / float64(m.weight) / most,
			member: m, index: i, limit: s.limit, probation: s.phase == probation,
		})
		t.gated = t.gated || s.limit > 0 || s.phase == probation
		if v.upstreams != nil {
			t.upstreams = append(t.upstreams, v.upstreams[i])
		}
	}
	var last *Tier
	if before != nil {
		for _, b := range before.tiers {
			if b.level == t.level && b.degraded == t.degraded && b.failing == t.failing {
				last = b
			}
		}
	}
	if p.counting {
		t.count(last)
	}
	if last != nil && last.Level == t.Level && slices.Equal(last.Candidates, t.Candidates) {
		return last
	}
	p.buildPickers(t, last)
	return t
}

// buildPickers has the policies build their pickers of the tier. Last is the one in
// its place before; nil for none.
func (p *Pool) buildPickers(t, last *Tier) {
	if last == nil {
		last = new(Tier)
	}
	t.picker = p.handles[0].policy.Build(t, last.picker)
	for _, h := range p.called {
		if t.called == nil {
			t.called = make(map[*Handle]Picker)
		}
		t.called[h] = h.policy.Build(t, last.called[h])
	}
}

// census is how many upstreams a panic could let in, how many are up, and how
// many have not had their first probe.
type census struct{ weighted, up, checking int }

// panics reports whether verdicts and ejections are ignored where so many of the
// upstreams are up.
func (p *Pool) panics(c census) bool {
	threshold := p.options.PanicThreshold
	switch {
	case c.weighted == 0:
		return false
	case threshold == nil:
		return c.up == 0
	case *threshold == 0:
		return false
	}
	return c.up == 0 || float64(c.up)*100 < *threshold*float64(c.weighted)
}
