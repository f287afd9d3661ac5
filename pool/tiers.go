package pool

import (
	"cmp"
	"math"
	"slices"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
	"github.com/caddy-evenkeel/evenkeel/outlier"
)

// compose builds the snapshot's tiers and its reserve. If no upstream is steady (up, and
// not failing every attempt), ejections do not count, and those that fail every attempt
// come last. If the traffic goes to the backups, a panic lets in only backups.
func (p *Pool) compose(next, before *Snapshot, ms *membership, states []state, onBackups, noneSteady bool) {
	type rank struct {
		failing, backup, degraded bool
		level                     int
	}
	members := make(map[rank][]int)
	var out outOfService
	next.unproven = true
	for i, s := range states {
		level := ms.members[i].level
		at := rank{backup: level == backups, degraded: s.degraded, level: level}
		switch {
		case s.weight == 0 || s.verdict == healthcheck.Checking || s.lost:
			continue
		case next.panicking && (at.backup == onBackups || noneSteady):
			at.degraded = false
			if !at.backup {
				at.level = 0
			}
		case s.verdict != healthcheck.Healthy:
			out.unhealthy = append(out.unhealthy, i)
			continue
		case s.phase == outlier.Ejected && !noneSteady:
			out.ejected = append(out.ejected, i)
			continue
		}
		at.failing = s.failing && noneSteady
		next.unproven = next.unproven && (s.phase != outlier.Serving || at.failing)
		members[at] = append(members[at], i)
	}
	next.reserve = p.reserve(out, ms, states)
	order := make([]rank, 0, len(members))
	for at := range members {
		order = append(order, at)
	}
	slices.SortFunc(order, func(a, b rank) int {
		return cmp.Or(compare(a.failing, b.failing), compare(a.backup, b.backup), compare(a.degraded, b.degraded), a.level-b.level)
	})
	for _, at := range order {
		t := &Tier{level: at.level, degraded: at.degraded, failing: at.failing, Level: ms.levels[at.level], sessions: ms.sessions}
		indices := ms.levelIndices[0]
		if next.panicking && !onBackups && !at.backup { // of all levels
			t.Level, indices = ms.levels[all], ms.levelIndices[1]
		}
		next.tiers = append(next.tiers, p.tier(t, before, ms, states, members[at], indices))
	}
}

// compare orders false before true.
func compare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// tier builds the tier of the given members. If nothing has changed for it, it is that
// of the snapshot before.
func (p *Pool) tier(t *Tier, before *Snapshot, ms *membership, states []state, members, levelIndices []int) *Tier {
	weights, most := make([]float64, len(members)), 0.0
	for n, i := range members {
		weights[n] = states[i].weight * float64(states[i].percent) / 100
		most = max(most, weights[n]/float64(ms.members[i].weight.Load()))
	}
	for n, w := range scale(weights) {
		i := members[n]
		m, s := ms.members[i], &states[i]
		t.Candidates = append(t.Candidates, Candidate{
			Address: m.address, Weight: w, Latency: m.latency, LevelIndex: levelIndices[i],
			Ramp:   weights[n] / float64(m.weight.Load()) / most,
			member: m, inFlight: m.ages(), index: i, limit: s.limit, probation: s.phase == outlier.Probation,
		})
		t.gated = t.gated || s.gated()
		if ms.upstreams != nil {
			t.upstreams = append(t.upstreams, ms.upstreams[i])
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
	if last != nil && last.Level == t.Level && last.gated == t.gated && slices.Equal(last.Candidates, t.Candidates) {
		return last
	}
	p.buildPickers(t, last)
	return t
}

// buildPickers has the policies build their pickers of the tier. Last is the same tier
// of the snapshot before; nil for none.
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

// scale returns integers in the proportion of the weights: the weights themselves, if
// they are integers.
func scale(weights []float64) []uint32 {
	unit, most := 1.0, 0.0
	for _, w := range weights {
		most = max(most, w)
		if w != math.Trunc(w) {
			unit = 100
		}
	}
	if most*unit > math.MaxInt32 {
		unit = math.MaxInt32 / most
	}
	scaled := make([]uint32, len(weights))
	for i, w := range weights {
		scaled[i] = max(uint32(math.Round(w*unit)), 1)
	}
	return scaled
}
