package pool

import (
	"time"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
	"github.com/caddy-evenkeel/evenkeel/internal/instant"
	"github.com/caddy-evenkeel/evenkeel/internal/orders"
	"github.com/caddy-evenkeel/evenkeel/outlier"
)

// state is the state of a member at an instant, as far as a snapshot depends on it.
type state struct {
	verdict  healthcheck.Verdict
	degraded bool
	phase    outlier.Phase
	failing  bool    // every attempt fails, but there is no other upstream
	lost     bool    // connections to it fail, and the plugin connects to it until one succeeds: no request tries it
	closes   bool    // it is out since it closes connections, and the plugin connects to it likewise
	limited  bool    // it is not serving, and max_ejection_percent holds for its ejection
	weight   float64 // by configuration and by its agent; at 0 it gets no new traffic
	percent  int     // of the weight that it gets, in a slow start
	maint    bool    // it is in maintenance, by an operator or its agent: its sessions do not go there either
	order    orders.Effect
	limit    int   // of requests at once, by configuration and by its agent; 0 for none
	until    int64 // instant at which the state changes by itself; 0 for never

	returning bool // it has just come back: see [returnGate]
}

// up reports whether the member may get traffic.
func (s *state) up() bool {
	return s.weight > 0 && s.verdict == healthcheck.Healthy && s.phase != outlier.Ejected && !s.lost
}

// stateOf returns the member's state at the instant.
func (p *Pool) stateOf(m *member, now int64) state {
	weight := m.weight.Load()
	s := state{weight: float64(weight), percent: 100, limit: m.limit, order: p.ordered(m)}
	byAgent := false
	var recovered time.Time
	for _, w := range m.watches {
		check := w.State()
		switch {
		case check.Unproven:
			s.verdict = healthcheck.Checking
		case check.Verdict == healthcheck.Unhealthy && s.verdict == healthcheck.Healthy:
			s.verdict = healthcheck.Unhealthy
		}
		s.degraded = s.degraded || check.Degraded
		s.maint = s.maint || check.Orders.Maint()
		// Of several agents, the one with the lowest weight wins.
		if w := check.Orders.Weight(weight); weight > 0 && w != float64(weight) && (!byAgent || w < s.weight) {
			s.weight, byAgent = w, true
		}
		s.limit = tighter(s.limit, check.Orders.Limit())
		recovered = later(recovered, later(check.Recovered, check.Orders.Resumed()))
		if m.joined() != 0 {
			recovered = later(recovered, check.Since) // also from checking
		}
	}
	switch {
	case s.order.State == orders.Maintenance:
		s.weight, s.maint = 0, true
	case s.order.State == orders.Drain, s.order.Weight != nil && *s.order.Weight == 0:
		s.weight = 0
	}
	h := m.host.State(now, m.connects)
	s.phase, s.until, s.failing, s.limited = h.Phase, h.Until, h.Failing, h.Limited
	s.lost, s.closes = h.Lost && p.seeks(m), h.Closed && p.seeks(m)
	s.returning = m.returning.Load() != nil
	if p.options.SlowStart != nil && s.up() && s.phase == outlier.Serving {
		began := max(h.Returned, m.joined(), m.resumed.Load())
		if !recovered.IsZero() {
			began = max(began, instant.Of(recovered))
		}
		s.percent, s.until = p.options.SlowStart.percent(began, now)
	}
	return s
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// release ends the member's ejection if a check has failed since it began, and then
// passed.
func (m *member) release(now int64) {
	var passed, failed time.Time
	for _, w := range m.watches {
		if s := w.State(); s.Mended.After(passed) && s.Mended.After(s.Failed) {
			passed, failed = s.Mended, s.Failed
		}
	}
	if !passed.IsZero() && m.host.Release(now, instant.Of(failed)) {
		m.host.Changed() // other pools may not have that check
	}
}
