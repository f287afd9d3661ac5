package pool

import (
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/attempt"
	"github.com/caddy-evenkeel/evenkeel/healthcheck"
)

// attach attaches the pool to a handler: to its upstreams, its transport and its
// retries.
func (p *Pool) attach(ctx caddy.Context, handler *reverseproxy.Handler, nested bool) error {
	p.fixed = handler.DynamicUpstreamsRaw == nil && handler.DynamicUpstreams == nil
	p.source.configure(handler.DynamicUpstreamsRaw) // Caddy loads the source after the policy
	p.source.followed.handler = handler
	if p.fixed {
		if err := p.options.checkStatic(dials(handler.Upstreams)); err != nil {
			return err
		}
	}
	if err := p.retries(handler); err != nil {
		return err
	}
	p.warn(handler)
	t, err := attempt.Install(ctx, handler)
	if err != nil {
		return err
	}
	t.Join(p, nested)
	p.transport, p.statics = t, handler.Upstreams
	p.triesOn = handler.LoadBalancing != nil && handler.LoadBalancing.TryDuration > 0
	if p.options.rules != nil {
		if p.connector, err = healthcheck.NewConnector(t.Inner()); err != nil {
			p.log().Debug("upstreams that cannot be reached are not connected to by the plugin: requests find out when they are back", zap.Error(err))
		}
	}
	// Where one of Caddy's policies picks, too, Caddy would use all of them up at once.
	if lb := handler.LoadBalancing; !nested && lb != nil && lb.Retries > 0 && p.options.hold != nil && p.connector != nil {
		p.mostAttempts = 1 + lb.Retries
		if lb.Retries += moreRetries; !p.fixed {
			lb.Retries += moreDynamic - moreRetries
		}
	}
	return nil
}

// dials returns the addresses of upstreams.
func dials(upstreams reverseproxy.UpstreamPool) []string {
	addresses := make([]string, len(upstreams))
	for i, u := range upstreams {
		addresses[i] = u.Dial
	}
	return addresses
}

// defaultRetries is enough to get past two upstreams that have just died.
const defaultRetries = 2

// retries sets the number of the handler's retries. Caddy makes them.
func (p *Pool) retries(handler *reverseproxy.Handler) error {
	lb := handler.LoadBalancing
	switch n := p.options.Retries; {
	case lb == nil:
	case n != nil && lb.Retries > 0:
		return fmt.Errorf("retries: the handler has lb_retries %d, which means the same; remove lb_retries", lb.Retries)
	case n != nil && *n == 0 && lb.TryDuration > 0: // Caddy reads 0 as unset
		return fmt.Errorf("retries: 0 turns retries off, but the handler has lb_try_duration %s, for which it tries again; remove one of them",
			time.Duration(lb.TryDuration))
	case n != nil:
		lb.Retries = *n
	case lb.Retries == 0 && lb.TryDuration == 0:
		lb.Retries = defaultRetries
	}
	return nil
}

// moreRetries is how often Caddy asks for an upstream beyond the retries: for requests
// that could connect to none, and wait. Nothing of them was sent.
const (
	moreRetries = 8
	moreDynamic = 2 // where upstreams are dynamic: their source is asked as often
)
