package pool

import (
	"cmp"
	"fmt"
	"math"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
)

const maxLimit = math.MaxInt32

// unmarshalLimit parses the option at the cursor. Syntax:
//
//	max_requests <n> [<upstream...>]
func (o *Options) unmarshalLimit(d *caddyfile.Dispenser) error {
	if d.CountRemainingArgs() != 1 {
		return o.limits.unmarshal(d, &o.MaxRequests)
	}
	if o.DefaultMaxRequests != 0 {
		return d.Err("max_requests: duplicate default of all upstreams")
	}
	n, err := cfg.Int(d, 1, maxLimit)
	o.DefaultMaxRequests = n
	return err
}

// checkDefaultLimit returns an error if the limit of all upstreams is out of range.
func (o *Options) checkDefaultLimit() error {
	if n := o.DefaultMaxRequests; n < 0 || n > maxLimit {
		return fmt.Errorf("default_max_requests: %d is not between 1 and %d", n, maxLimit)
	}
	return nil
}

// tighter returns the tighter of two limits; 0 is no limit.
func tighter(a, b int) int {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// findLimits finds the limit that the handler sets for upstreams that have none of
// their own. Caddy sets it on the upstreams only after the policy is provisioned.
func (p *Pool) findLimits(handler *reverseproxy.Handler) {
	o := p.options
	if checks := handler.HealthChecks; checks != nil && checks.Passive != nil {
		p.unsaid = checks.Passive.UnhealthyRequestCount
	}
	if o.Queue == nil || p.unsaid > 0 || o.DefaultMaxRequests > 0 || len(o.MaxRequests) > 0 {
		return
	}
	for _, u := range handler.Upstreams {
		if u.MaxRequests > 0 {
			return
		}
	}
	for _, c := range o.HealthChecks {
		if c.MayOrder() {
			return
		}
	}
	p.log().Warn("queue without a limit: no upstream is ever full, so no request waits; set max_requests",
		zap.String("policy", p.policy))
}

// limitOf returns how many requests the static upstream may have at once, by
// configuration; 0 for any number.
func (p *Pool) limitOf(u *reverseproxy.Upstream) int {
	return tighter(p.options.limits.get(u.Dial, p.options.DefaultMaxRequests), cmp.Or(u.MaxRequests, p.unsaid))
}

// room returns how many requests the member may have at once, by configuration and
// by its agent; 0 for any number.
func (m *member) room() int {
	limit := m.limit
	for _, w := range m.watches {
		limit = tighter(limit, w.State().Orders.Limit())
	}
	return limit
}
