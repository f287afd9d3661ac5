package healthcheck

import (
	"context"
	"errors"
	"time"

	"github.com/caddy-evenkeel/evenkeel/internal/resources"
)

// probe is one that is under way.
type probe struct {
	watch     *Watch
	queue     *slotQueue // that has its slot
	cancel    context.CancelFunc
	canceled  bool          // its watch was closed: the result does not count
	overtaken bool          // a response to a request has said otherwise: a pass does not count
	ended     chan struct{} // closed when its result is dealt with
}

// launch starts a probe of the subject, by its latest started watch, in a slot of
// the queue.
func (m *Monitor) launch(s *subject, q *slotQueue, now time.Time) {
	for _, w := range s.all() {
		if w.expired != nil && w.expired(now) {
			m.remove(w, now)
		}
	}
	w := s.runner()
	if w == nil {
		return
	}
	if w.queue() != q {
		m.schedule(s, now, now)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(w.check.Timeout))
	p := &probe{watch: w, queue: q, cancel: cancel, ended: make(chan struct{})}
	s.probe, w.latest = p, p
	m.slots[s.slotClass].take(q, 1, now)
	m.connections.first = true
	go m.run(ctx, s, p)
}

// run probes the subject, and notifies its watches if the state has changed.
func (m *Monitor) run(ctx context.Context, s *subject, p *probe) {
	defer close(p.ended)
	began, check := time.Now(), p.watch.check
	report, err := p.watch.callChecker(ctx)
	p.cancel()
	report.Warning = clip(report.Warning, maxReason)
	r := check.result(report, err)
	r.Ended = time.Now()
	r.Duration = r.Ended.Sub(began)
	lastWarning, changed := m.finish(s, p, &r, report.Warning)
	for _, w := range changed {
		w.notify()
	}
	if !p.canceled {
		check.logProbe(p.watch.target.Upstream, r, report.Warning, lastWarning)
	}
}

// errOvertaken is the outcome of a probe that passed, but began before a response
// to a request said otherwise.
var errOvertaken = errors.New("passed, but overtaken by a response")

// finish applies the result of a probe, and schedules the next one. It returns the
// warning of the probe before, and the watches to notify.
func (m *Monitor) finish(s *subject, p *probe, r *Result, warning string) (lastWarning string, changed []*Watch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.probe = nil
	if p.overtaken && r.Err == nil {
		r.Err, r.Force = errOvertaken, Abstains
	}
	check := p.watch.check
	before := *s.state.Load()
	after := before
	if !p.canceled {
		after, _ = before.Next(*r, check.Passes, check.Fails)
		s.state.Store(&after)
		check.report(p.watch, before, after, r.Duration)
	}
	if runner := s.runner(); runner != nil {
		m.schedule(s, m.nextProbe(s, runner.check, after, r.Ended, p.canceled), r.Ended)
	}
	slots := &m.slots[s.slotClass]
	slots.take(p.queue, -1, r.Ended)
	if len(slots.ready.all) > 0 || m.connections.starved {
		m.wake() // one that waits may have this slot
	}
	if p.canceled {
		return "", nil
	}
	lastWarning = s.warning
	if r.Err == nil || r.Force != Abstains || warning != "" {
		s.warning = warning
	}
	if after.differs(before) {
		changed = s.all()
	}
	return lastWarning, changed
}

// result returns what the check makes of a checker's answer.
func (c *Check) result(report Report, err error) Result {
	r := Result{Err: bounded(err), Force: report.Force, Order: report.Order}
	if resources.Exhausted(err) {
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
// the next point of the subject's grid, so that the load stays spread however
// long probes take. At another interval it follows the last probe; after one that
// was canceled it is due at once.
func (m *Monitor) nextProbe(s *subject, c *Check, state State, now time.Time, canceled bool) time.Time {
	if canceled {
		return now
	}
	pause, regular := c.pause(state)
	jitter := time.Duration(m.random() * *c.Jitter / 100 * float64(pause))
	if !regular {
		return now.Add(pause + jitter)
	}
	next := m.epoch.Add(time.Duration(s.phase * float64(pause)))
	if passed := now.Sub(next); passed >= 0 {
		next = next.Add((passed/pause + 1) * pause)
	}
	return next.Add(jitter)
}
