package pool

import (
	"time"

	"go.uber.org/zap"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
)

// shown is a member's status as of the latest build, and the instant since which it has
// the code. It does not change.
type shown struct {
	Status
	since int64
}

// show notes the member's status, and publishes it where its code has changed. What a
// reload finds as it was is not new. The pool's mutex building is held.
func (p *Pool) show(m *member, s *state, now int64) {
	if m.known == nil || !p.serving.Load() { // what serves shares it
		return
	}
	next := &shown{m.status(s, now), now}
	before := m.known.shown.Load()
	if before != nil && before.Code == next.Code {
		next.since = before.since
	}
	m.known.shown.Store(next)
	if before != nil && before.Code == next.Code || before == nil && next.Code == Up {
		return
	}
	e := Event{Time: time.Now(), Kind: StateChanged, Pool: p.Name(), Upstream: m.address, To: string(next.Code), Reason: next.Detail}
	if before != nil {
		e.From = string(before.Code)
	}
	Events.Publish(e)
}

// since returns the time since which the member has its code; the zero time where that is
// not known.
func (m *member) since() (at time.Time) {
	if m.known == nil {
		return at
	}
	if s := m.known.shown.Load(); s != nil {
		at = time.Now().Add(time.Duration(s.since - instant.Now()))
	}
	return at
}

// tellStart logs, once the configuration has started, which upstreams are not up, and
// which orders override it.
func (p *Pool) tellStart() {
	p.building.Lock()
	defer p.building.Unlock()
	now, told := instant.Now(), 0
	if o := p.paused(); o != nil {
		p.log().Warn("the pool is paused"+orderedBy(o)+": requests wait", zap.Time("since", o.Given))
	}
	overridden := 0
	for _, m := range p.static.members {
		if m.ordered.Any() {
			if overridden++; overridden <= maxReasons {
				p.logOrder("an order overrides the configuration", m)
			}
		}
		s := p.stateOf(m, now)
		status := m.status(&s, now)
		if status.Code == Up || status.Code == Checking && !s.order.Any() && m.since().IsZero() {
			continue
		}
		if told++; told > maxReasons {
			continue
		}
		p.log().Info("upstream is not up", zap.String("upstream", m.address), zap.String("state", string(status.Code)),
			zap.String("reason", status.Detail), zap.Time("since", m.since()))
	}
	if overridden > maxReasons {
		p.log().Info("orders override the configuration of further upstreams", zap.Int("upstreams", overridden-maxReasons))
	}
	if told > maxReasons {
		p.log().Info("further upstreams are not up", zap.Int("upstreams", told-maxReasons))
	}
}
