package healthcheck

import (
	"container/list"
	"net/http"
	"sync/atomic"
	"time"
)

// Watch is one pool's interest in a subject.
type Watch struct {
	monitor *Monitor
	subject *subject
	check   *Check
	target  Target
	notify  func()
	expired func(now time.Time) bool

	closed atomic.Bool

	// The monitor's mu guards what follows.
	element *list.Element // in subject.watches
	started bool
	latest  *probe
}

// Watch probes the upstream at the given dial address from the start of the
// configuration on, or from now on where it has started. Notify is called
// after each change of the [State] that decides who may be picked (verdict,
// Degraded, Orders, Mended), from any goroutine. Expired, unless nil, is
// asked before each probe whether the watch has ended. The error is
// [dialaddr.ErrPlaceholder] where the address depends on the request.
func (c *Check) Watch(address string, notify func(), expired func(now time.Time) bool) (*Watch, error) {
	target, err := c.target(address)
	if err != nil {
		return nil, err
	}
	w := monitor.watch(c, target, notify, expired)
	c.group.configuration.startWatch(w)
	return w, nil
}

// Close ends watches, and waits until the given time at most for the probes that
// they have under way. Their results do not count.
func Close(until time.Time, watches ...*Watch) { monitor.closeAll(watches, until) }

// queue returns where the subjects wait that the watch probes.
func (w *Watch) queue() *slotQueue { return &w.check.group.queues[w.check.slotClass] }

// State returns what the check knows of the upstream.
func (w *Watch) State() State { return *w.subject.state.Load() }

// NextProbe returns when the check probes the upstream next.
func (w *Watch) NextProbe() time.Time {
	w.monitor.mu.Lock()
	defer w.monitor.mu.Unlock()
	return w.subject.next
}

// ProbeNow makes the next probe due at once. It returns false where none is to come,
// since the watch has ended or has not started.
func (w *Watch) ProbeNow() bool {
	m, s := w.monitor, w.subject
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case w.closed.Load() || !w.started:
		return false
	case s.queue != nil: // else a probe is under way
		now := time.Now()
		m.unschedule(s, now)
		m.schedule(s, now, now)
	}
	return true
}

// Name returns the check's name.
func (w *Watch) Name() string { return w.check.Name }

// Closed reports whether the watch has ended.
func (w *Watch) Closed() bool { return w.closed.Load() }

// Response reads what the upstream says of itself in the header of its response to
// a request, where the check has the option `on_response`. It may be called for
// every response: one that says nothing new costs next to nothing.
func (w *Watch) Response(header http.Header) {
	degraded, fail := w.check.OnResponse.in(header)
	if !degraded && !fail {
		return
	}
	s := w.subject.state.Load()
	if (!degraded || s.Degraded) && (!fail || s.Verdict == Unhealthy && s.Passes == 0) {
		return
	}
	w.monitor.answered(w, degraded, fail)
}

// answered applies a response to a request, which does not wait for log and events.
func (m *Monitor) answered(w *Watch, degraded, fail bool) {
	now := time.Now()
	reason := ""
	if fail {
		reason = w.check.OnResponse.reason(w.check.OnResponse.fail)
	}
	m.mu.Lock()
	s := w.subject
	before := *s.state.Load()
	after, _ := before.Answered(degraded, reason, now)
	if w.closed.Load() || after == before {
		m.mu.Unlock()
		return
	}
	s.state.Store(&after)
	if s.probe != nil {
		s.probe.overtaken = true
	}
	reporter := w
	if runner := s.runner(); runner != nil {
		reporter = runner // its event queue has all events of the subject, in order
	}
	reporter.check.report(reporter, before, after, 0)
	watches := s.all()
	m.mu.Unlock()
	if after.differs(before) {
		for _, w := range watches {
			w.notify()
		}
	}
}
