package healthcheck

import (
	"sync"

	"github.com/caddy-evenkeel/evenkeel/internal/app"
	"github.com/caddy-evenkeel/evenkeel/internal/eventqueue"
)

// configuration is what the checks of one configuration share.
type configuration struct {
	app *app.App

	// Found while checks are provisioned; nil once the configuration has started.
	// The monitor's mu guards it.
	predecessors map[subjectName]*subject

	mu      sync.Mutex // guards what follows
	started bool
	pending []*Watch // those that wait for the start
}

// configurationOf returns what the checks of the app's configuration share.
func configurationOf(a *app.App) *configuration {
	return app.Shared(a, func() *configuration {
		c := &configuration{app: a, predecessors: make(map[subjectName]*subject)}
		a.AtStart(c.start)
		a.AtStop(c.stop)
		return c
	})
}

// start lets the probes go out: those of a configuration that is only validated,
// or that fails to load, never do.
func (c *configuration) start() {
	c.mu.Lock()
	c.started = true
	pending := c.pending
	c.pending = nil
	c.mu.Unlock()
	monitor.enter(c)
	monitor.settleInitialStates(c, pending)
	monitor.start(pending)
}

// stop ends the limits of the configuration. Each pool closes the watches that it
// has opened.
func (c *configuration) stop() { monitor.leave(c) }

// startWatch starts the watch with the configuration, or now if that has started.
func (c *configuration) startWatch(w *Watch) {
	c.mu.Lock()
	started := c.started
	if !started {
		c.pending = append(c.pending, w)
	}
	c.mu.Unlock()
	if started {
		monitor.start([]*Watch{w})
	}
}

// Group is what the checks and reconnections of one pool share: a part of the probe
// slots, and the queue of events.
type Group struct {
	Pool func() string // returns the name of the pool, for logs and events; set before the first watch, nil for none

	configuration *configuration
	events        *eventqueue.Events

	// The monitor's mu guards what follows.
	queues       [slotClasses]slotQueue
	lost         connectionQueue
	reconnecting map[*Reconnecting]struct{} // those that are not over
	connections  map[*connection]struct{}   // whose ends the closing waits for
}

// NewGroup returns the group of a pool of the configuration.
func NewGroup(a *app.App, events *eventqueue.Events) *Group {
	return &Group{
		configuration: configurationOf(a),
		events:        events,
		reconnecting:  make(map[*Reconnecting]struct{}),
		connections:   make(map[*connection]struct{}),
	}
}

// poolName returns the name of the pool; empty for none.
func (g *Group) poolName() string {
	if g.Pool == nil {
		return ""
	}
	return g.Pool()
}
