package pool

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/outlier"
	"github.com/caddy-evenkeel/evenkeel/queue"
)

// Handle is what a policy has of a pool.
type Handle struct {
	pool     *Pool
	policy   Policy
	features Features
	owner    bool // the pool is its own
}

// Provision gives the policy a pool: that of the policy of ours that it is inside of,
// else one of its own with the options. Close must be called whether it succeeds or
// not.
func (h *Handle) Provision(ctx caddy.Context, o *Options, policy Policy, f Features) error {
	h.policy, h.features = policy, f
	outer, handler, nested := enclosing(ctx)
	if outer != nil {
		if option := o.common(); option != "" {
			return fmt.Errorf("%s: %s", option, outersBusiness)
		}
		h.pool = outer.pool
		h.pool.take(h)
		if nested {
			h.pool.called = append(h.pool.called, h)
		}
		return nil
	}
	p := &Pool{
		options:    o,
		baseLogger: ctx.Logger(), ctx: ctx, expiry: time.Hour, limit: 10_000,
	}
	p.wakeUp.Run, p.intervals.Run = p.changed, p.intervalEnded
	h.pool, h.owner = p, true
	if module := ctx.Module(); module != nil {
		p.policy = module.CaddyModule().ID.Name()
	}
	p.call(naming{name: p.policy}) // until it has its own
	if err := o.provision(); err != nil {
		return err
	}
	if o.rules != nil {
		p.detector, p.hostChanges = outlier.NewDetector(o.rules, rand.Float64), outlier.Subscribe(p.changed)
	}
	p.dynamic.expiry.Run = p.expire
	p.identity.config = configOf(ctx.Module(), handler)
	if handler != nil {
		if err := p.loadApps(ctx); err != nil {
			return err
		}
	}
	if err := p.setName(); err != nil {
		return err
	}
	if handler != nil {
		if err := p.attach(ctx, handler, nested); err != nil {
			return err
		}
	}
	p.take(h)
	if len(o.HealthChecks) > 0 { // without a handler, too
		if err := p.joinApp(ctx); err != nil {
			return err
		}
	}
	for _, check := range o.HealthChecks {
		var inner http.RoundTripper
		if p.transport != nil {
			inner = p.transport.Inner()
		}
		if err := check.Provision(ctx, inner, p.checks); err != nil {
			return err
		}
	}
	if handler != nil {
		p.findLimits(handler)
	}
	if o.Queue != nil || o.hold != nil {
		p.queue = queue.New(o.Queue, o.hold)
		p.refusedKey = refusedKeyOf(p)
	}
	return nil
}

// enclosingKey is the context key of the handle of the policy whose inner policies are
// loaded.
type enclosingKey struct{}

// Enclose returns the context in which the policies inside this one are loaded.
func (h *Handle) Enclose(ctx caddy.Context) caddy.Context { return ctx.WithValue(enclosingKey{}, h) }

// enclosing returns what encloses the module that is being provisioned: the handle of
// the nearest policy of ours, if there is one; else the handler. Nested is whether one
// of Caddy's own policies is in between.
func enclosing(ctx caddy.Context) (outer *Handle, handler *reverseproxy.Handler, nested bool) {
	outer, _ = ctx.Value(enclosingKey{}).(*Handle)
	modules := ctx.Modules()
	if len(modules) > 0 {
		modules = modules[:len(modules)-1] // the module itself
	}
	for _, m := range slices.Backward(modules) {
		if outer != nil && m == any(outer.policy) {
			break
		}
		switch m := m.(type) {
		case *reverseproxy.Handler:
			return nil, m, nested
		case reverseproxy.Selector:
			nested = true
		}
	}
	return outer, nil, nested
}

// Addresses returns the dial addresses of the upstreams; fixed is false where
// these are dynamic, or not known.
func (h *Handle) Addresses() (addresses []string, fixed bool) {
	return dials(h.pool.statics), h.pool.fixed
}

// Key returns the number by which the policy picks for the request, if it picks by
// something of the request.
func (h *Handle) Key(r *http.Request) (key uint32, ok bool) {
	if h.features.Key == nil {
		return 0, false
	}
	return h.features.Key(r)
}
