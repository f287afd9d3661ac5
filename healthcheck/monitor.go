package healthcheck

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Monitor runs the probes of all checks of the process: one goroutine sleeps
// until the next probe is due and starts it in a goroutine of its own, so an
// upstream between two probes costs no goroutine and no timer. How many run at
// once is bounded, and shared fairly by pools.
//
// What a check knows of an upstream is a target, shared by all watches that ask
// for the same check of the same address over the same transport. Only one of
// them runs the probes: the latest started. When it goes, as in a reload, the
// next takes over, and the verdict stays.
type Monitor struct {
	random func() float64 // 0 to 1

	mu      sync.Mutex
	targets map[targetKey]*target
	named   map[nameOf]map[*target]struct{}

	// What was known of addresses of dynamic sources whose last watch has gone
	// with its configuration: the next one learns of them by its requests only.
	remembered map[nameOf]map[string]remembered // by the checks' keys
	purged     time.Time                        // when what is out of date was last dropped of those

	apps    []*App // of configurations that have started, the latest last
	places  [works]places
	seen    uint64        // targets ever made
	epoch   time.Time     // where the grids of all targets begin
	roused  time.Time     // when the loop looks next by itself
	wake    chan struct{} // makes the loop look again
	stop    chan struct{} // closed to end the loop; nil while there is none
	stopped chan struct{} // closed when it has ended
}

// targetKey is a check of an address, with the check's options.
type targetKey struct{ key, address string }

// NewMonitor returns a monitor without targets.
func NewMonitor() *Monitor {
	return &Monitor{
		random:     rand.Float64,
		targets:    make(map[targetKey]*target),
		named:      make(map[nameOf]map[*target]struct{}),
		remembered: make(map[nameOf]map[string]remembered),
		places:     [works]places{newPlaces(defaultConcurrency), newPlaces(defaultExecConcurrency)},
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
	at := targetKey{c.key, aim.Upstream}
	t := m.targets[at]
	if t == nil {
		t = &target{key: c.key, kind: c.kind, name: nameOf{c.Name, aim.Upstream}, work: c.work, phase: m.phase()}
		state := m.heritage(t, c)
		t.state.Store(&state)
		m.targets[at] = t
		if m.named[t.name] == nil {
			m.named[t.name] = make(map[*target]struct{})
		}
		m.named[t.name][t] = struct{}{}
	}
	w := &Watch{monitor: m, target: t, check: c, aim: aim, notify: notify, expired: expired}
	w.place = t.watches.PushFront(w)
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

// start lets the watches' probes go out.
func (m *Monitor) start(watches []*Watch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for _, w := range watches {
		if !w.closed.Load() && !w.started {
			m.startOne(w, now)
		}
	}
	if m.stop == nil && m.scheduled() {
		m.epoch = now
		m.wake, m.stop, m.stopped = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
		go m.loop(m.wake, m.stop, m.stopped)
	}
}

// startOne makes the watch the one that probes its target.
func (m *Monitor) startOne(w *Watch, now time.Time) {
	t := w.target
	w.started = true
	t.watches.MoveToBack(w.place)
	switch {
	case t.probe != nil: // its end schedules the next
	case t.line != nil:
		m.move(t, now)
	default:
		window := max(min(time.Duration(w.check.Interval), time.Second)-beat, 0) // a beat is how late it may be
		m.schedule(t, now.Add(time.Duration(t.phase*float64(window))), now)
	}
}

// enter has the limits of the configuration hold, which has started.
func (m *Monitor) enter(a *App) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.apps = append(m.apps, a)
	m.limit()
}

// leave ends that. The configuration that was there before may go on: this one may
// have failed to start.
func (m *Monitor) leave(a *App) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.apps = slices.DeleteFunc(m.apps, func(other *App) bool { return other == a })
	m.limit()
}

// limit has the limits be those of the latest configuration. The mutex is held.
func (m *Monitor) limit() {
	if len(m.apps) == 0 {
		return
	}
	a := m.apps[len(m.apps)-1]
	m.places[probing].limit, m.places[executing].limit = a.ProbeConcurrency, a.ExecConcurrency
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
func (m *Monitor) remove(w *Watch, now time.Time) {
	if w.closed.Swap(true) {
		return
	}
	t := w.target
	t.watches.Remove(w.place)
	if t.probe != nil && t.probe.watch == w {
		t.probe.cut = true
		t.probe.cancel()
	}
	if t.line != nil {
		m.move(t, now)
	}
	if w.expired != nil && !w.expired(now) {
		t.wanted = now.Add(time.Duration(w.check.app.DynamicExpiry))
	}
	if t.watches.Len() > 0 {
		return
	}
	m.remember(t, now)
	delete(m.targets, targetKey{t.key, t.name.address})
	delete(m.named[t.name], t)
	if len(m.named[t.name]) == 0 {
		delete(m.named, t.name)
	}
}

// closeAll ends watches and waits for what they have under way, until the given
// time at most. With the last watch of all, the monitor's own goroutine ends.
func (m *Monitor) closeAll(watches []*Watch, until time.Time) {
	m.mu.Lock()
	now := time.Now()
	m.purge(now)
	var running []*probe
	for _, w := range watches {
		m.remove(w, now)
		if w.latest != nil {
			running = append(running, w.latest)
		}
	}
	var stopped chan struct{}
	if len(m.targets) == 0 && m.stop != nil {
		close(m.stop)
		stopped = m.stopped
		m.wake, m.stop = nil, nil
	}
	m.mu.Unlock()
	// Those that heed their context end at once, and do so before the patience is
	// at an end, whoever has used it up.
	patience := time.NewTimer(max(time.Until(until), closeGrace))
	defer patience.Stop()
	for _, p := range running {
		select {
		case <-p.ended:
		case <-patience.C:
			patience.Reset(0)
		}
	}
	if stopped != nil {
		<-stopped
	}
}

// closeGrace is how long closing waits for probes in any case.
const closeGrace = 100 * time.Millisecond
