package healthcheck

import (
	"maps"
	"time"
)

// initialState is the state that a new subject starts from: that of a subject of
// the same name, else that of an upstream that was never probed. So a check keeps
// its verdicts when its options change. Only the kind of checker that gave orders
// may undo them: another kind does not inherit them.
func (m *Monitor) initialState(s *subject, c *Check) State {
	if p := m.predecessor(s.name, c.group.configuration); p != nil {
		if c.group.configuration.predecessors != nil {
			s.predecessor = p
		}
		return p.state.Load().inherited(p.kind == s.kind)
	}
	if r, same, ok := m.recall(s, time.Now()); ok {
		if same {
			return r.state
		}
		return r.state.inherited(r.kind == s.kind)
	}
	return c.initial()
}

// predecessor returns the subject that new ones of the name inherit from: the
// latest probed of those that the configuration has not kept as they are; nil if
// there is none. One search serves all checks that a configuration provisions.
func (m *Monitor) predecessor(name subjectName, c *configuration) (latest *subject) {
	if p, ok := c.predecessors[name]; ok && (p == nil || !p.usedBy(c)) {
		return p
	}
	for old := range m.named[name] {
		if old.usedBy(c) {
			continue
		}
		if state := old.state.Load(); state.known() && (latest == nil || state.Probed.After(latest.state.Load().Probed)) {
			latest = old
		}
	}
	if c.predecessors != nil {
		c.predecessors[name] = latest
	}
	return latest
}

// settleInitialStates is called when the configuration is provisioned. A subject
// whose predecessor turns out to belong to another check of the configuration
// loses what it inherited.
func (m *Monitor) settleInitialStates(c *configuration, watches []*Watch) {
	m.mu.Lock()
	c.predecessors = nil
	var changed []*Watch
	for _, w := range watches {
		s := w.subject
		if s.predecessor != nil && s.predecessor.usedBy(c) {
			state := w.check.initial()
			s.state.Store(&state)
			changed = append(changed, w)
		}
		s.predecessor = nil
	}
	m.mu.Unlock()
	for _, w := range changed {
		w.notify()
	}
}

// remembered is the state of a subject that is no more.
type remembered struct {
	kind  string
	state State
	until time.Time
}

// remember keeps the state of a subject that goes, until its keepUntil.
func (m *Monitor) remember(s *subject, now time.Time) {
	state := *s.state.Load()
	if !state.known() || !now.Before(s.keepUntil) {
		return
	}
	if m.remembered[s.name] == nil {
		m.remembered[s.name] = make(map[string]remembered)
	}
	m.remembered[s.name][s.key] = remembered{s.kind, state, s.keepUntil}
}

// recall returns what is remembered of the same check of the address; else of the
// one of its name that was probed last.
func (m *Monitor) recall(s *subject, now time.Time) (latest remembered, same, ok bool) {
	for key, r := range m.remembered[s.name] {
		switch {
		case !now.Before(r.until):
		case key == s.key:
			return r, true, true
		case !ok || r.state.Probed.After(latest.state.Probed):
			latest, ok = r, true
		}
	}
	return latest, false, ok
}

// purgeInterval is how often states are dropped that were remembered for long
// enough.
const purgeInterval = time.Minute

func (m *Monitor) purge(now time.Time) {
	if since := now.Sub(m.purged); since >= 0 && since < purgeInterval {
		return
	}
	m.purged = now
	maps.DeleteFunc(m.remembered, func(_ subjectName, all map[string]remembered) bool {
		maps.DeleteFunc(all, func(_ string, r remembered) bool { return !now.Before(r.until) })
		return len(all) == 0
	})
}
