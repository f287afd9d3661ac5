package pool

import (
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
	"github.com/caddy-evenkeel/evenkeel/internal/instant"
)

// maxReasons bounds how many upstreams a log line lists.
const maxReasons = 100

// logNone says why each of the upstreams is out, at most once per second: Caddy
// itself logs each request that failed for it.
func (p *Pool) logNone(upstreams []*reverseproxy.Upstream, t *tries) {
	now := time.Now()
	if !p.noneLog.Allow(instant.Of(now)) {
		return
	}
	var reasons []string
	left := false
	for _, u := range upstreams {
		if len(reasons) == maxReasons {
			reasons = append(reasons, fmt.Sprintf("and %d more", len(upstreams)-maxReasons))
			break
		}
		why := p.whyOut(u, t, instant.Of(now))
		left = left || why == availableNow
		reasons = append(reasons, u.Dial+": "+why)
	}
	if left && p.sessions {
		p.logger.Warn("the upstream of a strict session is not available", zap.Strings("upstreams", reasons))
		return
	}
	p.logger.Error("no upstream left", zap.Strings("upstreams", reasons))
}

const availableNow = "available now"

// whyOut says why an upstream may not be picked.
func (p *Pool) whyOut(u *reverseproxy.Upstream, t *tries, now int64) string {
	m := p.member(u.Dial)
	if m != nil {
		if why := m.whyOut(now); why != "" {
			return why
		}
	}
	limit, n := u.MaxRequests, active(u)
	if m != nil {
		limit, n = least(limit, m.room()), m.slots.taken(now, u)
	}
	switch {
	case u.Host == nil:
	case limit > 0 && n >= limit:
		return fmt.Sprintf("full: %d of max_requests %d in flight", n, limit)
	case !u.Healthy():
		return fmt.Sprintf("down for Caddy: its own health checks or circuit breaker, %d recent fails", u.Fails())
	case t.avoids(u.Dial, false):
		return "already tried by this request"
	}
	return availableNow
}

// whyOut says why the pool keeps the member out; empty if it does not.
func (m *member) whyOut(now int64) string {
	if m.weight == 0 {
		return "weight is 0"
	}
	for _, w := range m.watches {
		s := w.State()
		switch s.Verdict {
		case healthcheck.Unhealthy:
			return fmt.Sprintf("unhealthy: %s check: %s", w.Name(), s.Reason)
		case healthcheck.Checking:
			return fmt.Sprintf("checking: %s check has not passed yet", w.Name())
		}
		if out := s.Orders.Out(); out != "" {
			return out
		}
	}
	return m.outlier.state(now)
}
