package healthcheck

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-evenkeel/evenkeel/internal/app"
)

// answer is what a checker returns.
type answer struct {
	report Report
	err    error
}

// callChecker runs the checker once. It survives a checker that panics, and one
// that does not end with its context: until that one ends, the subject gets no
// other.
func (w *Watch) callChecker(ctx context.Context) (Report, error) {
	errHung := fmt.Errorf("checker did not end at its timeout of %v", time.Duration(w.check.Timeout))
	if !w.monitor.awaitHung(ctx, w.subject) {
		return Report{}, errHung
	}
	done, ended := make(chan answer, 1), make(chan struct{})
	go func() {
		defer close(ended)
		defer func() {
			if r := recover(); r != nil {
				w.check.logger.Error("checker panicked", zap.String("check", w.check.Name),
					zap.Any("panic", r), zap.ByteString("stack", debug.Stack()))
				done <- answer{err: fmt.Errorf("checker panicked: %v", r)}
			}
		}()
		var a answer
		if reporter, ok := w.check.checker.(Reporter); ok {
			a.report, a.err = reporter.Report(ctx, w.target)
		} else {
			a.err = w.check.checker.Check(ctx, w.target)
		}
		done <- a
	}()
	select {
	case a := <-done:
		return a.report, a.err
	case <-ctx.Done():
	}
	patience := time.NewTimer(app.ClosePatience)
	defer patience.Stop()
	select {
	case a := <-done:
		return a.report, a.err
	case <-patience.C:
		w.monitor.mu.Lock()
		defer w.monitor.mu.Unlock()
		w.subject.hung = ended
		return Report{}, errHung
	}
}

// awaitHung waits for the end of the subject's checker that did not end in time,
// if there is one. It returns false if the context ends before.
func (m *Monitor) awaitHung(ctx context.Context, s *subject) bool {
	m.mu.Lock()
	hung := s.hung
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
