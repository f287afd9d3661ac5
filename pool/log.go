package pool

import (
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/attempt"
	"github.com/caddy-evenkeel/evenkeel/internal/instant"
)

// maxReasons is how many upstreams a log entry lists at most.
const maxReasons = 100

// logNone logs why the request gets no upstream, and why each is out, at most once per
// second. Caddy itself logs each request that fails.
func (p *Pool) logNone(q *Query) {
	upstreams, tried := q.listed, q.tried
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
		why := p.whyOut(u, tried, instant.Of(now))
		left = left || why.takes()
		reasons = append(reasons, u.Dial+": "+why.Detail)
	}
	if left && p.sessions {
		p.log().Warn("the upstream of a strict session is not available", zap.Strings("upstreams", reasons))
		return
	}
	p.log().Error("no upstream left", zap.String("reason", q.why.String()), zap.Strings("upstreams", reasons))
}

// whyOut returns why the upstream was not picked for the request of the record.
func (p *Pool) whyOut(u *reverseproxy.Upstream, tried *attempt.Record, now int64) Status {
	s := p.statusOf(u, now)
	if s.takes() && u.Host != nil && tried.Avoids(u.Dial, false) {
		return Status{Code: alreadyTried, Detail: "already tried by this request"}
	}
	return s
}
