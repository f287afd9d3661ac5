package pool

import (
	"github.com/caddy-evenkeel/evenkeel/healthcheck"
	"github.com/caddy-evenkeel/evenkeel/internal/instant"
	"github.com/caddy-evenkeel/evenkeel/outlier"
)

// build builds the membership's snapshot. The pool's mutex building is held.
func (p *Pool) build(ms *membership) {
	now := instant.Now()
	before := ms.snapshot.Load()
	p.obey(ms, now)
	states := make([]state, len(ms.members))
	if p.detector != nil {
		p.detector.Recount()
	}
	var others, backup census
	paused := p.paused() != nil && len(ms.members) > 0
	resumed := before != nil && before.paused && !paused
	pauseOver := ms.history.outage.paused.Swap(paused) && !paused // of the pool, also by another name

	steady := 0 // that are up, and do not fail every attempt
	for i, m := range ms.members {
		m.release(now)
		if resumed {
			p.resume(m, now)
		}
		s := p.stateOf(m, now)
		states[i] = s
		p.show(m, &s, now)
		of := &others
		if m.level == backups {
			of = &backup
		}
		switch {
		case m.weight.Load() == 0 || s.weight == 0:
		case s.verdict == healthcheck.Checking:
			of.checking++ // a panic does not let it in
		default:
			of.weighted++
		}
		if s.up() {
			of.up++
			if !s.failing {
				steady++
			}
		}
		if in := s.verdict == healthcheck.Healthy && s.phase != outlier.Ejected && !s.lost; m.in != in {
			m.in = in
			m.latency.forget() // it comes back as a newcomer
		}
		p.wakeUp.Before(s.until)
		p.updateSeeking(m, &states[i])
	}
	onBackups := p.onBackups(ms.history, others, backup, now)
	serving := others
	if onBackups {
		serving = backup
	}
	next := &Snapshot{panicking: p.panics(serving)}
	p.compose(next, before, ms, states, onBackups, steady == 0)
	if next.paused = paused; paused {
		next.tiers, next.reserve, next.panicking = nil, reserve{}, false
	}
	if len(next.tiers) == 0 {
		next.panicking = false // nobody can be let in
		next.explain(ms.members, states, now)
	}
	next.down = paused || len(next.tiers) == 0 && next.reserve.empty() && others.weighted+backup.weighted > 0
	p.noteOutage(ms, before, next, now)
	if resumed || pauseOver {
		p.endOutage(ms, "the pool is open again: requests go on")
	}
	if !next.panicking || onBackups {
		p.share(next, ms, states, onBackups, now)
	}
	if len(next.tiers) == 1 && !next.tiers[0].gated && p.options.Queue == nil && !p.counting && !p.sessions && !p.transport.Nested() {
		next.plain = next.tiers[0]
	}
	p.openToSessions(next, ms, states)
	p.countEjectable(ms, states)
	next.findProbationCandidates()
	p.notePanic(ms.history, next, serving)
	ms.snapshot.Store(next)
	p.queue.Wake(ms)
	if before != nil {
		before.leaveTotals(next)
	}
	for i, s := range states {
		if s.failing && steady > 0 { // it is no longer the last one
			p.eject(ms.members[i], outlier.Finding{Rule: outlier.ByLocal, Lost: s.lost, Closed: s.closes})
		}
	}
}

// census counts upstreams: those that a panic could let in, those that are up, and
// those that have not had their first probe.
type census struct{ weighted, up, checking int }

// panics reports whether verdicts and ejections are ignored, by how many upstreams are
// up.
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
