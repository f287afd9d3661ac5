package pool

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
)

// view is a set of upstreams that are picked from together: the handler's
// static ones, or what a dynamic source has returned. Its members never change,
// its snapshot does.
type view struct {
	members   []*member
	upstreams []*reverseproxy.Upstream // of the members; nil where they are dynamic
	index     map[string]int           // of the members by address
	history   *history
	levels    map[int]*Level
	seats     [2][]int // of the members: in their levels, and among all
	sessions  []any    // what pickers that heed sessions have made of the members, by their slot
	snapshot  atomic.Pointer[Snapshot]
	asked     atomic.Int64 // instant of the latest pick; only where members are dynamic
}

// all is the number of the level that has the upstreams of all others.
const all = -1

// arrange gives the members their seats.
func (v *view) arrange() {
	v.levels = map[int]*Level{all: {}}
	for _, m := range v.members {
		if v.levels[m.level] == nil {
			v.levels[m.level] = &Level{}
		}
		for n, level := range []*Level{v.levels[m.level], v.levels[all]} {
			v.seats[n] = append(v.seats[n], len(level.Addresses))
			if m.weight > 0 {
				level.Addresses = append(level.Addresses, m.address)
				level.Weights = append(level.Weights, m.weight)
			}
		}
	}
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
	now := instant(time.Now())
	before := v.snapshot.Load()
	stands := make([]standing, len(v.members))
	up, weighted := 0, 0
	for i, m := range v.members {
		s := m.stand(p.options, now)
		stands[i] = s
		if m.weight > 0 && s.weight > 0 && s.verdict != healthcheck.Checking { // no panic lets those in
			weighted++
		}
		if s.up() {
			up++
		}
		if in := s.verdict == healthcheck.Healthy && s.phase != ejected; m.in != in {
			m.in = in
			m.latency.forget() // it comes back as a newcomer
		}
		p.alarm.before(s.until)
	}
	next := &Snapshot{panicking: p.panics(up, weighted)}
	p.compose(next, before, v, stands, up == 0)
	if !next.panicking {
		p.share(next, v, stands, now)
	}
	if len(next.tiers) == 1 && !next.tiers[0].guarded && p.line == nil && !p.counting && !p.sessional && !p.observer.marks() {
		next.plain = next.tiers[0]
	}
	p.admit(next, v, stands)
	next.try()
	p.notePanic(v.history, next, up, weighted)
	v.snapshot.Store(next)
	if before != nil {
		before.discount(next)
	}
}

// compose makes the snapshot's tiers. Where nobody is up, ejections do not
// count: the last upstream is never ejected.
func (p *Pool) compose(next, before *Snapshot, v *view, stands []standing, nobody bool) {
	type place struct {
		degraded bool
		level    int
	}
	places := make(map[place][]int)
	next.unproven = true
	for i, s := range stands {
		at := place{s.degraded, v.members[i].level}
		switch {
		case s.weight == 0 || s.verdict == healthcheck.Checking:
			continue
		case next.panicking:
			at = place{}
		case s.verdict != healthcheck.Healthy, s.phase == ejected && !nobody:
			continue
		}
		next.unproven = next.unproven && s.phase != serving
		places[at] = append(places[at], i)
	}
	order := make([]place, 0, len(places))
	for at := range places {
		order = append(order, at)
	}
	slices.SortFunc(order, func(a, b place) int {
		if a.degraded != b.degraded {
			if a.degraded {
				return 1
			}
			return -1
		}
		return a.level - b.level
	})
	for _, at := range order {
		t := &Tier{level: at.level, degraded: at.degraded, Level: v.levels[at.level], seats: v.sessions}
		seats := v.seats[0]
		if next.panicking {
			t.Level, seats = v.levels[all], v.seats[1]
		}
		next.tiers = append(next.tiers, p.tier(t, before, v, stands, places[at], seats))
	}
}

// tier fills in the tier of the given members. What was there before stays as it
// is if nothing has changed for it.
func (p *Pool) tier(t *Tier, before *Snapshot, v *view, stands []standing, places, seats []int) *Tier {
	weights, most := make([]float64, len(places)), 0.0
	for n, i := range places {
		weights[n] = stands[i].weight * float64(stands[i].percent) / 100
		most = max(most, weights[n]/float64(v.members[i].weight))
	}
	for n, w := range scale(weights) {
		i := places[n]
		m, s := v.members[i], stands[i]
		t.Candidates = append(t.Candidates, Candidate{
			Address: m.address, Weight: w, Latency: m.latency, Seat: seats[i],
			Share: weights[n] / float64(m.weight) / most,
			who:   m, place: i, limit: s.limit, probation: s.phase == probation,
		})
		t.guarded = t.guarded || s.limit > 0 || s.phase == probation
		if v.upstreams != nil {
			t.upstreams = append(t.upstreams, v.upstreams[i])
		}
	}
	var last *Tier
	if before != nil {
		for _, b := range before.tiers {
			if b.level == t.level && b.degraded == t.degraded {
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
	t.made = make([]any, len(p.pickers))
	for slot, picker := range p.pickers {
		if last == nil {
			t.made[slot] = picker.Build(t, nil, nil)
		} else {
			t.made[slot] = picker.Build(t, last, last.made[slot])
		}
	}
	return t
}

// panics reports whether verdicts and ejections are ignored where so many of the
// upstreams that have weight are up.
func (p *Pool) panics(up, weighted int) bool {
	threshold := p.options.PanicThreshold
	switch {
	case weighted == 0:
		return false
	case threshold == nil:
		return up == 0
	case *threshold == 0:
		return false
	}
	return up == 0 || float64(up)*100 < *threshold*float64(weighted)
}
