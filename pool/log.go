package pool

import (
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
)

// limiter lets one thing through per second.
type limiter struct{ latest atomic.Int64 }

func (l *limiter) ok(now int64) bool {
	latest := l.latest.Load()
	return (latest == 0 || now-latest >= int64(time.Second)) && l.latest.CompareAndSwap(latest, now)
}

// maxReasons bounds how many upstreams a log line lists.
const maxReasons = 100

// logNone says why each of the upstreams is out, at most once per second: Caddy
// itself logs each request that failed for it.
func (p *Pool) logNone(upstreams []*reverseproxy.Upstream, t *tried) {
	now := time.Now()
	if !p.noneLog.ok(instant(now)) {
		return
	}
	members := make(map[string]*member)
	if p.static.snapshotOf(upstreams) != nil {
		for _, m := range p.static.members {
			members[m.address] = m
		}
	} else if v := p.dynamic.latest.Load(); v != nil {
		for _, m := range v.members {
			members[m.address] = m
		}
	}
	var reasons []string
	for _, u := range upstreams {
		if len(reasons) == maxReasons {
			reasons = append(reasons, fmt.Sprintf("and %d more", len(upstreams)-maxReasons))
			break
		}
		reasons = append(reasons, u.Dial+": "+whyOut(u, members[u.Dial], t))
	}
	p.logger.Error("no upstream left", zap.Strings("upstreams", reasons))
}

// whyOut says why an upstream may not be picked.
func whyOut(u *reverseproxy.Upstream, m *member, t *tried) string {
	switch {
	case m == nil:
	case m.weight == 0:
		return "weight is 0"
	default:
		for _, w := range m.watches {
			switch s := w.State(); s.Verdict {
			case healthcheck.Unhealthy:
				return fmt.Sprintf("unhealthy: %s check: %s", w.Name(), s.Reason)
			case healthcheck.Checking:
				return fmt.Sprintf("checking: %s check has not passed yet", w.Name())
			}
		}
	}
	switch {
	case u.Host == nil:
	case u.Full():
		return fmt.Sprintf("full: %d of max_requests %d in flight", u.NumRequests(), u.MaxRequests)
	case !u.Healthy():
		return fmt.Sprintf("down for Caddy: its own health checks or circuit breaker, %d recent fails", u.Fails())
	case t.has(u.Dial):
		return "already tried by this request"
	}
	return "available now"
}
