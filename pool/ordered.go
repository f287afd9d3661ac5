package pool

import (
	"time"

	"go.uber.org/zap"

	"github.com/caddy-evenkeel/evenkeel/internal/orders"
)

// ordered returns what operators have ordered of the member, and beyond that what they
// have changed of it in its roster. Nothing can be ordered of
// one whose address depends on the request.
func (p *Pool) ordered(m *member) (e orders.Effect) {
	if m.known == nil {
		return e
	}
	e = orders.Default.Of(p.orderedAs(), m.dialled)
	if s := p.source.followed.source(); s != nil {
		e = e.Or(s.Ordered(m.address))
	}
	return e
}

// paused returns the order by which the pool is paused; nil if it is not.
func (p *Pool) paused() *orders.Order {
	if o := orders.Default.OfPool(p.orderedAs()); o != nil && o.State == orders.Paused {
		return o
	}
	return nil
}

// Obey returns once no pick heeds other orders than those in force now.
func (p *Pool) Obey() {
	p.building.Lock()
	defer p.building.Unlock()
	if p.started() && !p.isEnded() {
		p.rebuild()
	}
}

// obey gives the members the weights that are ordered. Levels are made anew only where
// a weight other than 0 has changed: a drain leaves hash tables as they are. The pool's
// mutex building is held.
func (p *Pool) obey(ms *membership, now int64) {
	p.tellPause()
	for _, m := range ms.members {
		before := m.ordered
		m.ordered = p.ordered(m)
		w := m.configured
		if o := m.ordered.Weight; o != nil && *o > 0 {
			w = uint32(*o)
		}
		m.weight.Store(w)
		if before.StateBy == m.ordered.StateBy && before.WeightBy == m.ordered.WeightBy {
			continue
		}
		if keepsOut(before) && !keepsOut(m.ordered) {
			m.resumed.Store(now)
		}
		if p.serving.Load() { // else [Pool.tellStart] tells
			p.tellOrder(m)
		}
	}
	for i, m := range ms.members {
		if ms.arranged[i] != m.weight.Load() {
			ms.arrange()
			break
		}
	}
}

// keepsOut reports whether the orders keep new traffic from an upstream.
func keepsOut(e orders.Effect) bool { return e.State != "" || e.Weight != nil && *e.Weight == 0 }

// tellOrder logs and publishes a change of what is ordered of the member.
func (p *Pool) tellOrder(m *member) {
	message := "an order takes effect"
	if !m.ordered.Any() {
		message = "an order has ended"
	}
	p.logOrder(message, m)
	Events.Publish(Event{Time: time.Now(), Kind: OrdersChanged, Pool: p.Name(), Upstream: m.address, To: m.ordered.String(), Reason: m.ordered.Reason()})
}

// tellPause logs and publishes a change of what is ordered of the pool. The pool's mutex
// building is held.
func (p *Pool) tellPause() {
	by := p.paused()
	if by == p.pausedBy {
		return
	}
	p.pausedBy = by
	if !p.serving.Load() {
		return
	}
	e := Event{Time: time.Now(), Kind: OrdersChanged, Pool: p.Name(), To: string(orders.Open)}
	if by != nil {
		e.To, e.Reason = string(orders.Paused), by.Reason
	}
	p.log().Info("an order changes the state of the pool", zap.String("state", e.To), zap.String("reason", e.Reason))
	Events.Publish(e)
}

// logOrder logs what is ordered of the member.
func (p *Pool) logOrder(message string, m *member) {
	p.log().Info(message, zap.String("upstream", m.address), zap.String("order", m.ordered.String()), zap.String("reason", m.ordered.Reason()),
		zap.Uint32("configured_weight", m.configured))
}
