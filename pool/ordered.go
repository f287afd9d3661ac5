package pool

import (
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
	e = orders.Default.Of(p.name, m.dialled)
	if s := p.source.followed.source(); s != nil {
		e = e.Or(s.Ordered(m.address))
	}
	return e
}

// paused returns the order by which the pool is paused; nil if it is not.
func (p *Pool) paused() *orders.Order {
	if o := orders.Default.OfPool(p.name); o != nil && o.State == orders.Paused {
		return o
	}
	return nil
}

// obey gives the members the weights that are ordered. Levels are made anew only where
// a weight other than 0 has changed: a drain leaves hash tables as they are. The pool's
// mutex building is held.
func (p *Pool) obey(ms *membership, now int64) {
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
		if ms.snapshot.Load() != nil { // else [Pool.tellStart] tells
			p.logOrder("an order takes effect", m)
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

// logOrder logs what is ordered of the member.
func (p *Pool) logOrder(message string, m *member) {
	order, reason := "none", ""
	if by := m.ordered.WeightBy; by != nil {
		order, reason = by.String(), by.Reason
	}
	if by := m.ordered.StateBy; by != nil {
		order, reason = by.String(), by.Reason
	}
	p.logger.Info(message, zap.String("upstream", m.address), zap.String("order", order), zap.String("reason", reason),
		zap.Uint32("configured_weight", m.configured))
}
