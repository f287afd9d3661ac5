package healthcheck

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/caddy-evenkeel/evenkeel/internal/app"
)

// Monitor runs the probes of all checks of the process, and the connections of all
// reconnections. One goroutine sleeps
// until the next probe is due and starts it in a goroutine of its own, so an
// upstream between two probes costs no goroutine and no timer. The number of
// probes that run at once is bounded, and shared fairly by pools.
//
// What a check knows of an upstream is a subject, shared by all watches that ask
// for the same check of the same address over the same transport. Only one of
// them runs the probes: the latest started. When it goes, as in a reload, the
// next takes over, and the verdict stays.
type Monitor struct {
	random func() float64 // 0 to 1

	mu       sync.Mutex // guards what follows
	subjects map[subjectKey]*subject
	named    map[subjectName]map[*subject]struct{}

	// States of addresses of dynamic sources whose last watch has gone with its
	// configuration, by the checks' keys: the next configuration learns of these
	// addresses by its requests only.
	remembered map[subjectName]map[string]remembered
	purged     time.Time // when those out of date were last dropped

	lost        map[string]*lost // upstreams that reconnections want to reach, by dial address
	connections connections      // to them

	configurations []*configuration // those that have started, the latest last
	slots          [slotClasses]slots
	seen           uint64        // subjects ever made
	epoch          time.Time     // where the grids of all subjects begin
	nextLook       time.Time     // when the loop looks next by itself
	woken          chan struct{} // makes the loop look again
	stop           chan struct{} // closed to end the loop; nil while there is none
	stopped        chan struct{} // closed when it has ended
}

// NewMonitor returns a monitor without subjects.
func NewMonitor() *Monitor {
	return &Monitor{
		random:     rand.Float64,
		subjects:   make(map[subjectKey]*subject),
		named:      make(map[subjectName]map[*subject]struct{}),
		remembered: make(map[subjectName]map[string]remembered),
		lost:       make(map[string]*lost),
		slots:      [slotClasses]slots{newSlots(app.DefaultProbeConcurrency), newSlots(app.DefaultExecConcurrency)},
	}
}

// monitor is the process's own: verdicts outlive configurations.
var monitor = NewMonitor()

// watch adds a watch of the check on the target. No probe goes out before the
// watch is started. For notify and expired, see [Check.Watch].
func (m *Monitor) watch(c *Check, target Target, notify func(), expired func(time.Time) bool) *Watch {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := subjectKey{c.key, target.Upstream}
	s := m.subjects[at]
	if s == nil {
		s = &subject{key: c.key, kind: c.kind, name: subjectName{c.Name, target.Upstream}, slotClass: c.slotClass, phase: m.phase()}
		state := m.initialState(s, c)
		s.state.Store(&state)
		m.subjects[at] = s
		if m.named[s.name] == nil {
			m.named[s.name] = make(map[*subject]struct{})
		}
		m.named[s.name][s] = struct{}{}
	}
	w := &Watch{monitor: m, subject: s, check: c, target: target, notify: notify, expired: expired}
	w.element = s.watches.PushFront(w)
	return w
}

// phase returns the next subject's position in the interval. Multiples of the
// golden ratio are spread evenly whatever their number.
func (m *Monitor) phase() float64 {
	const golden = 0.6180339887498949
	m.seen++
	phase := float64(m.seen%(1<<20)) * golden
	return phase - float64(int(phase))
}

// start lets the probes of the watches go out.
func (m *Monitor) start(watches []*Watch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for _, w := range watches {
		if !w.closed.Load() && !w.started {
			m.startOne(w, now)
		}
	}
	if !m.idle() {
		m.begin(now)
	}
}

// begin starts the loop unless it runs. The mutex is held.
func (m *Monitor) begin(now time.Time) {
	if m.stop == nil {
		m.epoch = now
		m.woken, m.stop, m.stopped = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
		go m.loop(m.woken, m.stop, m.stopped)
	}
}

// endUnused ends the loop if nothing is left for it. It returns what is closed when
// the loop has ended; nil if it goes on. The mutex is held.
func (m *Monitor) endUnused() (stopped <-chan struct{}) {
	if len(m.subjects) > 0 || len(m.lost) > 0 || m.stop == nil {
		return nil
	}
	close(m.stop)
	m.woken, m.stop = nil, nil
	return m.stopped
}

// startOne makes the watch the one that probes its subject. The mutex is held.
func (m *Monitor) startOne(w *Watch, now time.Time) {
	s := w.subject
	w.started = true
	s.watches.MoveToBack(w.element)
	switch {
	case s.probe != nil: // its end schedules the next
	case s.queue != nil:
		m.reschedule(s, now)
	default:
		window := max(min(time.Duration(w.check.Interval), time.Second)-tick, 0) // a tick is how late it may be
		m.schedule(s, now.Add(time.Duration(s.phase*float64(window))), now)
	}
}

// enter applies the limits of the configuration, which has started.
func (m *Monitor) enter(c *configuration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.configurations = append(m.configurations, c)
	m.applyLimits()
}

// leave undoes enter. The configuration before may go on: this one may have failed
// to start.
func (m *Monitor) leave(c *configuration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.configurations = slices.DeleteFunc(m.configurations, func(other *configuration) bool { return other == c })
	m.applyLimits()
}

// applyLimits sets the limits of the latest configuration. The mutex is held.
func (m *Monitor) applyLimits() {
	if len(m.configurations) == 0 {
		return
	}
	a := m.configurations[len(m.configurations)-1].app
	m.slots[probeSlots].limit, m.slots[commandSlots].limit = a.ProbeConcurrency, a.ExecConcurrency
	m.wake()
}

// remove takes a watch off its subject, cancels its probe, and drops the subject
// with its last watch. The mutex is held.
func (m *Monitor) remove(w *Watch, now time.Time) {
	if w.closed.Swap(true) {
		return
	}
	s := w.subject
	s.watches.Remove(w.element)
	if s.probe != nil && s.probe.watch == w {
		s.probe.canceled = true
		s.probe.cancel()
	}
	if s.queue != nil {
		m.reschedule(s, now)
	}
	if w.expired != nil && !w.expired(now) {
		s.keepUntil = now.Add(time.Duration(w.check.group.configuration.app.DynamicExpiry))
	}
	if s.watches.Len() > 0 {
		return
	}
	m.remember(s, now)
	delete(m.subjects, subjectKey{s.key, s.name.address})
	delete(m.named[s.name], s)
	if len(m.named[s.name]) == 0 {
		delete(m.named, s.name)
	}
}

// closeAll ends watches, and waits for the probes that they have under way, until
// the given time at most. With the last watch of all, the monitor's own goroutine ends.
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
	stopped := m.endUnused()
	m.mu.Unlock()
	patience := newPatience(until)
	defer patience.Stop()
	for _, p := range running {
		patience.await(p.ended)
	}
	if stopped != nil {
		<-stopped
	}
}

// patience is the time that closing has for all that is under way.
type patience struct{ *time.Timer }

// closeGrace is how long closing waits in any case: what heeds its context ends at
// once, and gets a moment even where others have used up the time.
const closeGrace = 100 * time.Millisecond

func newPatience(until time.Time) patience {
	return patience{time.NewTimer(max(time.Until(until), closeGrace))}
}

// await waits until ended is closed, or the time is up.
func (p patience) await(ended <-chan struct{}) {
	select {
	case <-ended:
	case <-p.C:
		p.Reset(0)
	}
}
