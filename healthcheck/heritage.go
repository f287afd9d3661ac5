package healthcheck

import (
	"maps"
	"time"
)

// nameOf is a check of an address, whatever its options.
type nameOf struct{ check, address string }

// remembered is the state of a target that is no more.
type remembered struct {
	kind  string
	state State
	until time.Time
}

// remember keeps the state of a target that goes, for as long as it is wanted.
func (m *Monitor) remember(t *target, now time.Time) {
	state := *t.state.Load()
	if !state.known() || !now.Before(t.wanted) {
		return
	}
	if m.remembered[t.name] == nil {
		m.remembered[t.name] = make(map[string]remembered)
	}
	m.remembered[t.name][t.key] = remembered{t.kind, state, t.wanted}
}

// recall returns what is remembered of the same check of the address; else of the
// one of its name that was probed last.
func (m *Monitor) recall(t *target, now time.Time) (latest remembered, same, ok bool) {
	for key, r := range m.remembered[t.name] {
		switch {
		case !now.Before(r.until):
		case key == t.key:
			return r, true, true
		case !ok || r.state.Probed.After(latest.state.Probed):
			latest, ok = r, true
		}
	}
	return latest, false, ok
}

// heritage is the state that a new target starts from: the verdict that a
// check of the same name has on the same address, else the initial one. So a
// check keeps its verdicts when its options change. Orders are for those to undo
// who gave them: another kind of checker does not take them over.
func (m *Monitor) heritage(t *target, c *Check) State {
	if a := m.ancestor(t.name, c.app); a != nil {
		if c.app.ancestors != nil {
			t.ancestor = a
		}
		return a.state.Load().inherited(a.kind == t.kind)
	}
	if r, same, ok := m.recall(t, time.Now()); ok {
		if same {
			return r.state
		}
		return r.state.inherited(r.kind == t.kind)
	}
	return c.initial()
}

// ancestor returns the target that new ones of the name take over from: the one
// probed last of those that the configuration has not taken over as they are. One
// search does for all checks that a configuration provisions.
func (m *Monitor) ancestor(name nameOf, app *App) (latest *target) {
	if a, ok := app.ancestors[name]; ok && (a == nil || !a.usedBy(app)) {
		return a
	}
	for old := range m.named[name] {
		if old.usedBy(app) {
			continue
		}
		if state := old.state.Load(); state.known() && (latest == nil || state.Probed.After(latest.state.Load().Probed)) {
			latest = old
		}
	}
	if app.ancestors != nil {
		app.ancestors[name] = latest
	}
	return latest
}

// usedBy reports whether a watch belongs to the given configuration.
func (t *target) usedBy(app *App) bool {
	for e := t.watches.Front(); e != nil; e = e.Next() {
		if e.Value.(*Watch).check.app == app {
			return true
		}
	}
	return false
}

// settleHeritage is called when the configuration is provisioned: what a target
// has taken over from one that turns out to be another check's, which the
// configuration has as well, it gives back.
func (m *Monitor) settleHeritage(app *App, watches []*Watch) {
	m.mu.Lock()
	app.ancestors = nil
	var changed []*Watch
	for _, w := range watches {
		t := w.target
		if t.ancestor != nil && t.ancestor.usedBy(app) {
			state := w.check.initial()
			t.state.Store(&state)
			changed = append(changed, w)
		}
		t.ancestor = nil
	}
	m.mu.Unlock()
	for _, w := range changed {
		w.notify()
	}
}

// purgeEvery is how often what is remembered for too long is dropped.
const purgeEvery = time.Minute

func (m *Monitor) purge(now time.Time) {
	if since := now.Sub(m.purged); since >= 0 && since < purgeEvery {
		return
	}
	m.purged = now
	maps.DeleteFunc(m.remembered, func(_ nameOf, all map[string]remembered) bool {
		maps.DeleteFunc(all, func(_ string, r remembered) bool { return !now.Before(r.until) })
		return len(all) == 0
	})
}
