package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"go.uber.org/zap"
)

// probe is one that is under way.
type probe struct {
	watch     *Watch
	cancel    context.CancelFunc
	cut       bool          // its watch was closed: the result does not count
	overtaken bool          // by a response to a request: a pass does not count
	ended     chan struct{} // closed when its result is dealt with
}

// loop starts the probes that are due until stop is closed.
func (m *Monitor) loop(wake, stop, stopped chan struct{}) {
	defer close(stopped)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-stop:
			return
		case <-timer.C:
		case <-wake:
		}
		timer.Reset(m.launchDue())
	}
}

// beat is the least time between two looks at the schedule: probes that are due
// within it start together, which saves waking up for each of thousands.
const beat = 10 * time.Millisecond

// launchDue starts the probes that are due, and returns the time until the
// next look.
func (m *Monitor) launchDue() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.due) > 0 && m.running < m.limit {
		t, now := m.due[0], time.Now()
		if wait := t.next.Sub(now); wait > 0 {
			return max(wait, beat)
		}
		m.unschedule(t)
		m.launch(t, now)
	}
	return time.Hour // or until roused
}

// launch starts a probe of the target, by its latest started watch.
func (m *Monitor) launch(t *target, now time.Time) {
	for i := len(t.watches) - 1; i >= 0; i-- {
		w := t.watches[i]
		if w.expired != nil && w.expired(now) {
			m.remove(w)
		}
	}
	w := t.runner()
	if w == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(w.check.Timeout))
	p := &probe{watch: w, cancel: cancel, ended: make(chan struct{})}
	t.probe = p
	m.running++
	go m.run(ctx, t, p)
}

// runner returns the watch whose checker probes the target.
func (t *target) runner() *Watch {
	for _, w := range slices.Backward(t.watches) {
		if w.started {
			return w
		}
	}
	return nil
}

// errOvertaken is the outcome of a probe that passed, but began before a response
// to a request said otherwise.
var errOvertaken = errors.New("passed, but overtaken by a response")

// run probes a target and carries what comes of it where it belongs.
func (m *Monitor) run(ctx context.Context, t *target, p *probe) {
	defer close(p.ended)
	began, w, check := time.Now(), p.watch, p.watch.check
	report, err := w.probe(ctx)
	p.cancel()
	r := check.result(report, err)
	r.Ended = time.Now()
	r.Duration = r.Ended.Sub(began)

	m.mu.Lock()
	m.running--
	t.probe = nil
	if p.overtaken && r.Err == nil {
		r.Err, r.Force = errOvertaken, Abstains
	}
	before := *t.state.Load()
	after := before
	if !p.cut {
		after, _ = before.Next(r, check.Passes, check.Fails)
		t.state.Store(&after)
	}
	if runner := t.runner(); runner != nil {
		m.schedule(t, m.nextProbe(t, runner.check, after, r.Ended, p.cut))
	}
	m.rouse() // for a probe that waited for this one's place
	if p.cut {
		m.mu.Unlock()
		return
	}
	warned := t.warning
	if r.Err == nil || r.Force != Abstains || report.Warning != "" {
		t.warning = report.Warning
	}
	done := w.reporting()
	watches := slices.Clone(t.watches)
	m.mu.Unlock()
	defer m.reported(w, done)
	if after.differs(before) {
		for _, w := range watches {
			w.notify()
		}
	}
	check.reportProbe(w.aim.Upstream, r, report.Warning, warned)
	check.report(w, before, after, r.Duration)
}

// result is what the check makes of a probe.
func (c *Check) result(report Report, err error) Result {
	r := Result{Err: err, Force: report.Force, Order: report.Order}
	if Exhausted(err) {
		r.Force = Abstains
	}
	degraded, fail := c.OnResponse.in(report.Header)
	r.Degraded = degraded
	if fail {
		r.Err, r.Force = failf("%s", c.OnResponse.reason(c.OnResponse.fail)), Decides
	}
	return r
}

// nextProbe returns when the next probe is due. At the regular interval it is
// the next point of the target's grid, so that the load stays spread however
// long probes take; else, or for one that was cut off, it follows the last.
func (m *Monitor) nextProbe(t *target, c *Check, s State, now time.Time, cut bool) time.Time {
	if cut {
		return now
	}
	pause, regular := c.pause(s)
	jitter := time.Duration(m.random() * *c.Jitter / 100 * float64(pause))
	if !regular {
		return now.Add(pause + jitter)
	}
	next := m.epoch.Add(time.Duration(t.phase * float64(pause)))
	if passed := now.Sub(next); passed >= 0 {
		next = next.Add((passed/pause + 1) * pause)
	}
	return next.Add(jitter)
}

// outcome is what a checker returns.
type outcome struct {
	report Report
	err    error
}

// probe runs the checker once. It survives a checker that panics or that does
// not heed its context.
func (w *Watch) probe(ctx context.Context) (Report, error) {
	done := make(chan outcome, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				w.check.logger.Error("checker panicked", zap.String("check", w.check.Name),
					zap.Any("panic", r), zap.ByteString("stack", debug.Stack()))
				done <- outcome{err: fmt.Errorf("checker panicked: %v", r)}
			}
		}()
		var o outcome
		if reporter, ok := w.check.checker.(Reporter); ok {
			o.report, o.err = reporter.Report(ctx, w.aim)
		} else {
			o.err = w.check.checker.Check(ctx, w.aim)
		}
		done <- o
	}()
	select {
	case o := <-done:
		return o.report, o.err
	case <-ctx.Done():
	}
	patience := time.NewTimer(closePatience)
	defer patience.Stop()
	select {
	case o := <-done:
		return o.report, o.err
	case <-patience.C:
		return Report{}, fmt.Errorf("checker did not end at its timeout of %v", time.Duration(w.check.Timeout))
	}
}
