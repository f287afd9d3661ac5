package healthcheck

import (
	"container/list"
	"net/http"
	"sync/atomic"
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

	closed atomic.Bool

	// Guarded by the monitor's mu.
	place   *list.Element // in target.watches
	started bool
	latest  *probe
}

// line returns where the targets wait that the watch probes.
func (w *Watch) line() *line { return &w.check.group.lines[w.check.work] }

// State returns what the check knows of the upstream.
func (w *Watch) State() State { return *w.target.state.Load() }

// Name returns the check's name.
func (w *Watch) Name() string { return w.check.Name }

// Closed reports whether the watch has ended.
func (w *Watch) Closed() bool { return w.closed.Load() }

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
	t := w.target
	before := *t.state.Load()
	after, _ := before.Answered(degraded, reason, now)
	if w.closed.Load() || after == before {
		m.mu.Unlock()
		return
	}
	t.state.Store(&after)
	if t.probe != nil {
		t.probe.overtaken = true
	}
	teller := w
	if runner := t.runner(); runner != nil {
		teller = runner // so that all that is told of a target is told in one order
	}
	teller.check.report(teller, before, after, 0)
	watches := t.all()
	m.mu.Unlock()
	if after.differs(before) {
		for _, w := range watches {
			w.notify()
		}
	}
}
