package pool

import (
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
)

// warn logs, once for each configuration, what is allowed but hardly meant, and what to
// do about it.
func (p *Pool) warn(handler *reverseproxy.Handler) {
	o := p.options
	policy := zap.String("policy", p.policy)
	addresses := dials(handler.Upstreams)
	upstreams := zap.Strings("upstreams", addresses[:min(len(addresses), 10)])
	if p.fixed && len(addresses) > 0 && o.drained(addresses) {
		p.log().Warn("all upstreams have weight 0: requests get a 503, but for those of sessions;"+
			" give an upstream a weight above 0, or leave its weight out", policy, upstreams)
	}
	if t := o.PanicThreshold; t != nil && *t > 0 && *t < 1 {
		p.log().Warn("panic_threshold is a percentage, and below one percent: write 50 for a half",
			policy, upstreams, zap.Float64("panic_threshold", *t))
	}
	if b := o.RetryBudget; b != nil && b.Percent != nil && *b.Percent > 0 && *b.Percent < 1 {
		p.log().Warn("retry_budget is a percentage, and below one percent: write 20 for a fifth",
			policy, upstreams, zap.Float64("retry_budget", *b.Percent))
	}
	if p.fixed && len(addresses) > 0 && !slices.ContainsFunc(addresses, func(a string) bool { return !o.backups.has(a) }) {
		p.log().Warn("all upstreams are backups, which is as if none were: leave backup out, or name only some of them",
			policy, upstreams)
	}
	if d := o.OutlierDetection; d != nil {
		for option, percent := range map[string]*float64{
			"failure_percentage_threshold": d.FailurePercentageThreshold,
			"max_ejection_percent":         d.MaxEjectionPercent,
		} {
			if percent != nil && *percent > 0 && *percent < 1 {
				p.log().Warn(option+" is a percentage, and below one percent: write 50 for a half",
					policy, upstreams, zap.Float64(option, *percent))
			}
		}
	}
	if lb := handler.LoadBalancing; lb != nil && o.hold != nil && time.Duration(lb.TryDuration) > time.Duration(o.hold.Duration) {
		p.log().Warn("lb_try_duration is longer than hold: while all upstreams are down, each request is tried for so long before it fails;"+
			" write hold for that time, and remove lb_try_duration", policy, upstreams,
			zap.Duration("lb_try_duration", time.Duration(lb.TryDuration)), zap.Duration("hold", time.Duration(o.hold.Duration)))
	}
	checks := handler.HealthChecks
	if checks == nil {
		return
	}
	if checks.Active != nil && checks.Active.IsEnabled() && len(o.HealthChecks) > 0 {
		p.log().Warn("Caddy's own active health checks run beside health_check, and an upstream must pass both:"+
			" remove health_uri, and what else begins with health_ in the block of reverse_proxy", policy, upstreams)
	}
	if checks.Passive != nil && checks.Passive.FailDuration > 0 && o.rules != nil {
		p.log().Warn("Caddy's own passive health checks count failures beside outlier_detection, and take out even the last upstream:"+
			" remove fail_duration, or write outlier_detection off", policy, upstreams,
			zap.Duration("fail_duration", time.Duration(checks.Passive.FailDuration)))
	}
}

// warnOfIdle warns, once for each member, of an upstream that closes idle connections
// sooner than the handler's transport does.
func (p *Pool) warnOfIdle(m *member) {
	if m.known != nil && m.known.endpoint.Idle.Least() != 0 && !m.idleWarned.Load() {
		p.warnOfClosed(m)
	}
}

// warnOfClosed is warnOfIdle for a member whose upstream has closed an idle connection.
func (p *Pool) warnOfClosed(m *member) {
	idle, keeps := m.known.endpoint.Idle.Settled(instant.Now()), p.transport.Keeps()
	if idle == 0 || keeps > 0 && keeps <= idle || m.idleWarned.Swap(true) {
		return
	}
	do := "have the transport keep idle connections for less than " + below(idle).String()
	if keeps > 0 {
		do = "write keepalive " + below(idle).String() + " in the block of transport http"
	}
	p.log().Warn("upstream closes idle connections sooner than Caddy, and a request that cannot be sent twice was lost, a POST, say: "+do,
		zap.String("upstream", m.address), zap.Duration("closes_after", idle), zap.Duration("keepalive", keeps))
}

// below returns how long to keep connections that the upstream closes after the idle
// time: about half of that, in few digits.
func below(idle time.Duration) time.Duration {
	if half := idle / 2; half < time.Second {
		return half.Truncate(10 * time.Millisecond)
	}
	return (idle / 2).Truncate(time.Second)
}

// drained reports whether all upstreams have weight 0.
func (o *Options) drained(addresses []string) bool {
	for _, address := range addresses {
		if o.weights.get(address, 1) > 0 {
			return false
		}
	}
	return true
}
