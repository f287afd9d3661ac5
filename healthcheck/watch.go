package healthcheck

import (
	"net/http"
	"slices"
	"time"
)

// Watch is one configuration's interest in a target.
type Watch struct {
	monitor *Monitor
	target  *target
	check   *Check
	aim     Target
	notify  func()
	expired func(now time.Time) bool

	// Guarded by the monitor's mu.
	started bool
	closed  bool
	reports []chan struct{} // closed when log and events have been told
}

// State returns what the check knows of the upstream.
func (w *Watch) State() State { return *w.target.state.Load() }

// Name returns the check's name.
func (w *Watch) Name() string { return w.check.Name }

// Closed reports whether the watch has ended.
func (w *Watch) Closed() bool {
	w.monitor.mu.Lock()
	defer w.monitor.mu.Unlock()
	return w.closed
}

// Response takes note of what the upstream says of itself in the header of its
// response to a request, where the check has the option `on_response`. It may
// be called for every response: for one that says nothing new it costs next to
// nothing.
func (w *Watch) Response(header http.Header) {
	degraded, fail := w.check.OnResponse.in(header)
	if !degraded && !fail {
		return
	}
	s := w.target.state.Load()
	if (!degraded || s.Degraded) && (!fail || s.Verdict == Unhealthy && s.Passes == 0) {
		return
	}
	w.monitor.answered(w, degraded, fail)
}

// answered carries what comes of a response to a request where it belongs. The
// request does not wait for log and events.
func (m *Monitor) answered(w *Watch, degraded, fail bool) {
	now := time.Now()
	reason := ""
	if fail {
		reason = w.check.OnResponse.reason(w.check.OnResponse.fail)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	t := w.target
	before := *t.state.Load()
	after, _ := before.Answered(degraded, reason, now)
	if w.closed || after == before {
		return
	}
	t.state.Store(&after)
	if t.probe != nil {
		t.probe.overtaken = true
	}
	watches := slices.Clone(t.watches)
	done := w.reporting()
	go func() {
		defer m.reported(w, done)
		if after.differs(before) {
			for _, w := range watches {
				w.notify()
			}
		}
		w.check.report(w, before, after, 0)
	}()
}

// reporting notes that log and events are about to be told. The monitor's mutex
// is held.
func (w *Watch) reporting() (done chan struct{}) {
	done = make(chan struct{})
	w.reports = append(w.reports, done)
	return done
}

// reported notes that they have been.
func (m *Monitor) reported(w *Watch, done chan struct{}) {
	m.mu.Lock()
	w.reports = slices.DeleteFunc(w.reports, func(o chan struct{}) bool { return o == done })
	m.mu.Unlock()
	close(done)
}
