package healthcheck

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddyserver/caddy/v2"
)

// reporting is a checker that reports what the test says.
type reporting struct {
	scripted

	mu     sync.Mutex
	report Report
	err    error
	times  int
}

func (r *reporting) Report(context.Context, Target) (Report, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.times++
	return r.report, r.err
}

func (r *reporting) set(report Report, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report, r.err = report, err
}

// listener is a function that listens to events.
type listener func(caddy.Event)

// Handle implements [caddyevents.Handler].
func (l listener) Handle(_ context.Context, event caddy.Event) error {
	l(event)
	return nil
}

// told is what log, events and notify were told.
type told struct {
	logs *observer.ObservedLogs

	mu       sync.Mutex
	events   []string
	notified int
}

// Handle implements [caddyevents.Handler].
func (e *told) Handle(_ context.Context, event caddy.Event) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.events = append(e.events, event.Name()+" "+fmt.Sprint(event.Data))
	return nil
}

func (e *told) notify() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.notified++
}

// expect fails the test unless that is all that was told since it was last asked:
// how often notify was called; and the events, each with a log line of the same
// fields but for the host.
func (e *told) expect(t *testing.T, notified int, events ...string) {
	t.Helper()
	synctest.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.notified != notified {
		t.Errorf("notified %d times, want %d", e.notified, notified)
	}
	if !slices.Equal(e.events, events) {
		t.Errorf("events\n%s\nwant\n%s", strings.Join(e.events, "\n"), strings.Join(events, "\n"))
	}
	logs := e.logs.FilterLevelExact(zapcore.InfoLevel).Len() + e.logs.FilterLevelExact(zapcore.WarnLevel).Len()
	if logs != len(events) {
		t.Errorf("%d log lines for %d events", logs, len(events))
	}
	e.notified, e.events = 0, nil
	e.logs.TakeAll()
}

// newReporting starts the configuration of a check, given as JSON without braces,
// that watches one address, and whose reports and consequences are the test's. A
// probe learns nothing until the test says otherwise. From here on there is one in
// every second.
func newReporting(t *testing.T, options string) (*config, *reporting, *told) {
	t.Helper()
	c := newConfig(t, `{"interval":"1s","jitter":0`+options+`}`, nil)
	r := &reporting{report: neutral, err: errFailed}
	core, logs := observer.New(zapcore.DebugLevel)
	e := &told{logs: logs}
	c.check.checker, c.check.logger = r, zap.New(core)
	if err := c.check.events.On("", e); err != nil {
		t.Fatal(err)
	}
	c.watch(1, e.notify).start()
	sleep(1500 * time.Millisecond)
	return c, r, e
}

var (
	neutral = Report{Force: Abstains}
	up      = Report{Force: Decides}
)

func ordering(o Order) Report { return Report{Force: Abstains, Order: o} }
