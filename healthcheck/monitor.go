package healthcheck

import (
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// defaultConcurrency is how many probes run at once, at most. Probes of hung
// upstreams last for their whole timeout: this is enough for 2,500 of them at
// the default interval and timeout.
const defaultConcurrency = 1024

// closePatience is how long closing waits for a checker that does not end
// although its context has: a reload must not hang on a third party's mistake.
const closePatience = 5 * time.Second

// Monitor runs the probes of all checks of the process: one goroutine sleeps
// until the next probe is due and starts it in a goroutine of its own, so an
// upstream between two probes costs no goroutine and no timer.
//
// What a check knows of an upstream is a target, shared by all watches that ask
// for the same check of the same address over the same transport. Only one of
// them runs the probes: the latest started. When it goes, as in a reload, the
// next takes over, and the verdict stays.
type Monitor struct {
	random func() float64 // 0 to 1

	mu      sync.Mutex
	targets map[string][]*target // by address

	// What was known of addresses of dynamic sources whose last watch has gone
	// with its configuration: the next one learns of them by its requests only.
	remembered map[nameOf]remembered

	due     schedule
	seen    uint64 // targets ever made
	limit   int    // probes at once
	running int
	epoch   time.Time     // where the grids of all targets begin
	wake    chan struct{} // makes the loop look again
	stop    chan struct{} // closed to end the loop; nil while there is none
	stopped chan struct{} // closed when it has ended
}

// nameOf is a check of an address, whatever its options.
type nameOf struct{ check, address string }

// remembered is the state of a target that is no more.
type remembered struct {
	key, kind string
	state     State
	until     time.Time
}

// target is one check of one address.
type target struct {
	key   string // the check's
	kind  string // of checker
	name  nameOf
	state atomic.Pointer[State]

	// All below is guarded by the monitor's mu.
	watches []*Watch
	phase   float64 // place in the interval, 0 to 1
	next    time.Time
	index   int // in the schedule; -1 while it is not in there
	probe   *probe
	warning string // of the latest probe
}

// NewMonitor returns a monitor without targets.
func NewMonitor() *Monitor {
	return &Monitor{
		random:     rand.Float64,
		targets:    make(map[string][]*target),
		remembered: make(map[nameOf]remembered),
		limit:      defaultConcurrency,
	}
}

// monitor is the process's own: verdicts outlive configurations.
var monitor = NewMonitor()

// watch adds a watch of the check on the address. No probe goes out before it
// is started. Notify is called after each change that matters, from any
// goroutine. Before a probe, expired may say that the watch has ended.
func (m *Monitor) watch(c *Check, aim Target, notify func(), expired func(time.Time) bool) *Watch {
	m.mu.Lock()
	defer m.mu.Unlock()
	var t *target
	for _, known := range m.targets[aim.Upstream] {
		if known.key == c.key {
			t = known
		}
	}
	if t == nil {
		t = &target{key: c.key, kind: c.kind, name: nameOf{c.Name, aim.Upstream}, index: -1, phase: m.phase()}
		state := m.heritage(t, c)
		t.state.Store(&state)
		m.targets[aim.Upstream] = append(m.targets[aim.Upstream], t)
	}
	w := &Watch{monitor: m, target: t, check: c, aim: aim, notify: notify, expired: expired}
	t.watches = append(t.watches, w)
	return w
}

// phase returns the next target's place in the interval. Multiples of the
// golden ratio are spread evenly whatever their number.
func (m *Monitor) phase() float64 {
	const golden = 0.6180339887498949
	m.seen++
	phase := float64(m.seen%(1<<20)) * golden
	return phase - float64(int(phase))
}

// heritage is the state that a new target starts from: the verdict that a
// check of the same name has on the same address, else the initial one. So a
// check keeps its verdicts when its options change. Orders are for those to undo
// who gave them: another kind of checker does not take them over.
func (m *Monitor) heritage(t *target, c *Check) State {
	var latest *target
	for _, old := range m.targets[t.name.address] {
		if old.name != t.name || old.usedBy(c.app) {
			continue
		}
		if state := old.state.Load(); state.known() && (latest == nil || state.Probed.After(latest.state.Load().Probed)) {
			latest = old
		}
	}
	if latest == nil {
		if r, ok := m.remembered[t.name]; ok && time.Now().Before(r.until) {
			if r.key == t.key {
				return r.state
			}
			return r.state.inherited(r.kind == t.kind)
		}
		return c.initial()
	}
	return latest.state.Load().inherited(latest.kind == t.kind)
}

// usedBy reports whether a watch belongs to the given configuration.
func (t *target) usedBy(app *App) bool {
	return slices.ContainsFunc(t.watches, func(w *Watch) bool { return w.check.app == app })
}

// start lets the watches' probes go out.
func (m *Monitor) start(watches []*Watch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for _, w := range watches {
		if w.closed || w.started {
			continue
		}
		w.started = true
		t := w.target
		if t.probe == nil && t.index < 0 {
			window := max(min(time.Duration(w.check.Interval), time.Second)-beat, 0) // a beat is how late it may be
			m.schedule(t, now.Add(time.Duration(t.phase*float64(window))))
		}
	}
	if m.stop == nil && len(m.due) > 0 {
		m.epoch = now
		m.wake, m.stop, m.stopped = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
		go m.loop(m.wake, m.stop, m.stopped)
	}
}

// setLimit sets how many probes run at once.
func (m *Monitor) setLimit(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.limit = n
	m.rouse()
}

// rouse makes the loop look again, if there is one.
func (m *Monitor) rouse() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// remove takes a watch off its target, cuts off its probe, and forgets the
// target with its last watch.
func (m *Monitor) remove(w *Watch) (cut *probe) {
	if w.closed {
		return nil
	}
	w.closed = true
	t := w.target
	t.watches = slices.DeleteFunc(t.watches, func(o *Watch) bool { return o == w })
	if t.probe != nil && t.probe.watch == w {
		cut = t.probe
		cut.cut = true
		cut.cancel()
	}
	if t.runner() == nil {
		m.unschedule(t)
	}
	if len(t.watches) == 0 {
		if now := time.Now(); w.expired != nil && !w.expired(now) {
			if state := *t.state.Load(); state.known() {
				m.remembered[t.name] = remembered{t.key, t.kind, state, now.Add(time.Duration(w.check.app.DynamicExpiry))}
			}
		}
		address := t.name.address
		m.targets[address] = slices.DeleteFunc(m.targets[address], func(o *target) bool { return o == t })
		if len(m.targets[address]) == 0 {
			delete(m.targets, address)
		}
	}
	return cut
}

// closeAll ends watches and waits for what they have under way. With the last
// watch of all, the monitor's own goroutine ends.
func (m *Monitor) closeAll(watches []*Watch) {
	m.mu.Lock()
	now := time.Now()
	maps.DeleteFunc(m.remembered, func(_ nameOf, r remembered) bool { return !now.Before(r.until) })
	var cut []*probe
	var reports []chan struct{}
	for _, w := range watches {
		if p := m.remove(w); p != nil {
			cut = append(cut, p)
		}
		reports = append(reports, w.reports...)
	}
	var stopped chan struct{}
	if len(m.targets) == 0 && m.stop != nil {
		close(m.stop)
		stopped = m.stopped
		m.wake, m.stop = nil, nil
	}
	m.mu.Unlock()
	for _, p := range cut {
		<-p.ended // closePatience bounds this, too
	}
	// The handler of an event may itself be what reloads the configuration,
	// and so wait for us.
	patience := time.NewTimer(closePatience)
	defer patience.Stop()
	for _, done := range reports {
		select {
		case <-done:
		case <-patience.C:
			patience.Reset(0)
		}
	}
	if stopped != nil {
		<-stopped
	}
}
