package healthcheck

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"go.uber.org/zap"
)

// probe is one that is under way.
type probe struct {
	watch  *Watch
	cancel context.CancelFunc
	cut    bool          // its watch was closed: the result does not count
	ended  chan struct{} // closed when its result is dealt with
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

// run probes a target and carries what comes of it where it belongs.
func (m *Monitor) run(ctx context.Context, t *target, p *probe) {
	defer close(p.ended)
	began := time.Now()
	err := p.watch.probe(ctx)
	p.cancel()
	r := Result{Err: err, Ended: time.Now()}
	r.Duration = r.Ended.Sub(began)

	m.mu.Lock()
	m.running--
	t.probe = nil
	before := *t.state.Load()
	after, flipped := before, false
	if !p.cut {
		check := p.watch.check
		after, flipped = before.Next(r, check.Passes, check.Fails)
		t.state.Store(&after)
	}
	if w := t.runner(); w != nil {
		m.schedule(t, m.nextProbe(t, w.check, after, r.Ended, p.cut))
	}
	m.rouse() // for a probe that waited for this one's place
	if p.cut {
		m.mu.Unlock()
		return
	}
	p.watch.reporting = p
	watches := slices.Clone(t.watches)
	m.mu.Unlock()
	if flipped {
		for _, w := range watches {
			w.notify()
		}
	}
	p.watch.check.report(p.watch, before, after, r, flipped)
	m.mu.Lock()
	defer m.mu.Unlock()
	if p.watch.reporting == p {
		p.watch.reporting = nil
	}
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

// probe runs the checker once. It survives a checker that panics or that does
// not heed its context.
func (w *Watch) probe(ctx context.Context) error {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				w.check.logger.Error("checker panicked", zap.String("check", w.check.Name),
					zap.Any("panic", r), zap.ByteString("stack", debug.Stack()))
				done <- fmt.Errorf("checker panicked: %v", r)
			}
		}()
		done <- w.check.checker.Check(ctx, w.aim)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	patience := time.NewTimer(closePatience)
	defer patience.Stop()
	select {
	case err := <-done:
		return err
	case <-patience.C:
		return fmt.Errorf("checker did not end at its timeout of %v", time.Duration(w.check.Timeout))
	}
}
