package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"go.uber.org/zap"
)

// probe is one that is under way.
type probe struct {
	watch     *Watch
	line      *line // that has its place
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

// launchDue starts the probes that are due and have a place, and returns the
// time until the next look.
func (m *Monitor) launchDue() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, wait := time.Now(), time.Hour // or until roused
	m.purge(now)
	for i := range m.places {
		p := &m.places[i]
		for l := p.next(now); l != nil; l = p.next(now) {
			t := l.due[0]
			m.unschedule(t, now)
			m.launch(t, l, now)
		}
		if len(p.resting.all) > 0 {
			wait = min(wait, max(p.resting.all[0].due[0].next.Sub(now), beat))
		}
	}
	m.roused = now.Add(wait)
	return wait
}

// launch starts a probe of the target, by its latest started watch, in the place
// that the line has.
func (m *Monitor) launch(t *target, l *line, now time.Time) {
	for _, w := range t.all() {
		if w.expired != nil && w.expired(now) {
			m.remove(w, now)
		}
	}
	w := t.runner()
	if w == nil {
		return
	}
	if w.line() != l {
		m.schedule(t, now, now)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(w.check.Timeout))
	p := &probe{watch: w, line: l, cancel: cancel, ended: make(chan struct{})}
	t.probe, w.latest = p, p
	m.places[t.work].take(l, 1, now)
	go m.run(ctx, t, p)
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
	report.Warning = clip(report.Warning, maxReason)
	r := check.result(report, err)
	r.Ended = time.Now()
	r.Duration = r.Ended.Sub(began)

	m.mu.Lock()
	t.probe = nil
	if p.overtaken && r.Err == nil {
		r.Err, r.Force = errOvertaken, Abstains
	}
	before := *t.state.Load()
	after := before
	if !p.cut {
		after, _ = before.Next(r, check.Passes, check.Fails)
		t.state.Store(&after)
		check.report(w, before, after, r.Duration)
	}
	if runner := t.runner(); runner != nil {
		m.schedule(t, m.nextProbe(t, runner.check, after, r.Ended, p.cut), r.Ended)
	}
	places := &m.places[t.work]
	places.take(p.line, -1, r.Ended)
	if len(places.ready.all) > 0 {
		m.rouse() // one that waits may have this one's place
	}
	if p.cut {
		m.mu.Unlock()
		return
	}
	warned := t.warning
	if r.Err == nil || r.Force != Abstains || report.Warning != "" {
		t.warning = report.Warning
	}
	watches := t.all()
	m.mu.Unlock()
	if after.differs(before) {
		for _, w := range watches {
			w.notify()
		}
	}
	check.reportProbe(w.aim.Upstream, r, report.Warning, warned)
}

// result is what the check makes of a probe.
func (c *Check) result(report Report, err error) Result {
	r := Result{Err: bounded(err), Force: report.Force, Order: report.Order}
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
// not heed its context: until that one ends, there is no other for the upstream.
func (w *Watch) probe(ctx context.Context) (Report, error) {
	endless := fmt.Errorf("checker did not end at its timeout of %v", time.Duration(w.check.Timeout))
	if !w.monitor.await(ctx, w.target) {
		return Report{}, endless
	}
	done, ended := make(chan outcome, 1), make(chan struct{})
	go func() {
		defer close(ended)
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
		w.monitor.mu.Lock()
		defer w.monitor.mu.Unlock()
		w.target.hung = ended
		return Report{}, endless
	}
}

// await waits for the end of the target's checker that did not end in time, if
// there is one. It returns false if that lasts longer than the context.
func (m *Monitor) await(ctx context.Context, t *target) bool {
	m.mu.Lock()
	hung := t.hung
	m.mu.Unlock()
	if hung == nil {
		return true
	}
	select {
	case <-hung:
		return true
	case <-ctx.Done():
		return false
	}
}
