package pool

import (
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
	"github.com/caddy-evenkeel/evenkeel/internal/app"
	"github.com/caddy-evenkeel/evenkeel/internal/eventqueue"
)

// loadApps loads the apps that a pool of a handler needs, and registers its metrics.
func (p *Pool) loadApps(ctx caddy.Context) error {
	if err := p.joinApp(ctx); err != nil {
		return err
	}
	p.generation = p.app.Generation()
	p.expiry, p.limit = time.Duration(p.app.DynamicExpiry), p.app.DynamicLimit
	events, err := ctx.App("events")
	if err != nil {
		return err
	}
	p.events = events.(*caddyevents.App)
	return RegisterCollector(ctx)
}

// joinApp adds the pool to the configuration's app, once.
func (p *Pool) joinApp(ctx caddy.Context) error {
	if p.app != nil {
		return nil
	}
	a, err := app.Of(ctx)
	if err != nil {
		return err
	}
	p.app, p.eventQueue = a, eventqueue.NewEvents(p.baseLogger)
	p.checks = healthcheck.NewGroup(a, p.eventQueue)
	a.AtStart(p.eventQueue.Release)
	return nil
}

// emit emits an event with the data, which may be nil, and the pool's name. Events keep
// their order.
func (p *Pool) emit(event string, data map[string]any) {
	if p.events == nil {
		return
	}
	if data == nil {
		data = make(map[string]any)
	}
	data["pool"] = p.Name()
	p.eventQueue.Emit(func() { p.events.Emit(p.ctx, event, data) })
}
