package healthcheck

import (
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-evenkeel/evenkeel/internal/eventqueue"
)

// Group is what the checks of one pool share: a part of the places for probes,
// and the order in which it is told what has happened.
type Group struct {
	app    *App
	logger *zap.Logger
	lines  [works]line // guarded by the monitor's mu
	logs   eventqueue.Queue
	lost   atomic.Int64     // when it was last logged that events are, in nanoseconds
	events eventqueue.Queue // apart from logs, which wait for no listener
}

// NewGroup returns the group of a pool of the configuration. Its events wait for
// the start of the configuration: before that Caddy is still at work on what
// an event has of its origin.
func NewGroup(app *App, logger *zap.Logger) *Group {
	g := &Group{app: app, logger: logger}
	g.events.Hold()
	app.AtStart(g.events.Release)
	return g
}

// Tell has the function called that tells of an event, after those before it.
func (g *Group) Tell(f func()) {
	if g.events.Add(f) {
		return
	}
	now := time.Now().UnixNano()
	if last := g.lost.Load(); now-last > int64(time.Minute) && g.lost.CompareAndSwap(last, now) {
		g.logs.Add(func() {
			g.logger.Error("events are lost: those who listen are too slow", zap.Int("waiting", eventqueue.Most))
		})
	}
}

// CloseWatches is [Close] for what ends with the configuration.
func (g *Group) CloseWatches(watches ...*Watch) {
	if g != nil {
		monitor.closeAll(watches, g.app.closeBy())
	}
}

// Close waits until all events are told, for as long as the configuration has
// patience. A nil Group has none.
func (g *Group) Close() {
	if g == nil {
		return
	}
	until := g.app.closeBy()
	g.events.Close(until)
	g.logs.Close(until)
}

// closePatience is how long closing waits for what does not end although it
// should: a checker whose context has ended, those who listen to events. A
// reload must not hang on a third party's mistake.
const closePatience = 5 * time.Second

// closeBy returns until when closing waits. All that ends with a configuration
// shares the time, so that a reload takes no longer for having many pools.
func (a *App) closeBy() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closing.IsZero() {
		a.closing = time.Now().Add(closePatience)
	}
	return a.closing
}
