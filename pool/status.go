package pool

import (
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/endpoint"
	"github.com/caddy-evenkeel/evenkeel/healthcheck"
	"github.com/caddy-evenkeel/evenkeel/internal/orders"
	"github.com/caddy-evenkeel/evenkeel/outlier"
)

// Status says whether an upstream is in service, and why not.
type Status struct {
	Code   Code
	Detail string // a sentence for people
}

// Code is the status of an upstream in a word.
type Code string

// Codes. The first ones get traffic.
const (
	Up           Code = "up"
	SlowStarting Code = "slow_start"  // it gets a growing part of its weight
	Degraded     Code = "degraded"    // it says that it is not well: it gets what others cannot take
	Probation    Code = "probation"   // after an ejection, or an outage, it has to answer before it gets more
	Full         Code = "full"        // it has as many requests in flight as its limit allows
	Draining     Code = "draining"    // it gets only what belongs to its sessions
	Maintenance  Code = "maintenance" // it gets nothing, by an operator or its agent
	Checking     Code = "checking"    // a check has not had its first result yet
	Down         Code = "down"        // a check fails, or it cannot be reached
	Ejected      Code = "ejected"     // requests to it failed

	alreadyTried Code = "tried" // only of one request: it has failed there
)

// Codes lists the codes of upstreams.
var Codes = []Code{Up, SlowStarting, Degraded, Probation, Full, Draining, Maintenance, Checking, Down, Ejected}

// takes reports whether the upstream takes a request: its one, where it is on probation
// and has none.
func (s Status) takes() bool {
	return s.Code == Up || s.Code == SlowStarting || s.Code == Degraded || s.Code == Probation && s.Detail == untested
}

const (
	available = "available now"
	untested  = "on probation after an ejection: the next request tests it"
)

// status returns the member's status in the state, without what depends on its requests
// in flight and on Caddy's own conditions.
func (m *member) status(s *state, now int64) Status {
	if out, ok := m.outByOrder(s); ok {
		return out
	}
	for _, w := range m.watches {
		check := w.State()
		switch check.Verdict {
		case healthcheck.Unhealthy:
			return Status{Down, fmt.Sprintf("unhealthy: %s check: %s", w.Name(), check.Reason)}
		case healthcheck.Checking:
			return Status{Checking, fmt.Sprintf("checking: %s check has not passed yet", w.Name())}
		}
	}
	switch h := m.host.State(now, m.connects); {
	case s.lost && s.phase != outlier.Ejected:
		return Status{Down, "unreachable: " + m.lastFailure()}
	case s.lost:
		return Status{Ejected, "unreachable: " + m.lastFailure()}
	case s.phase == outlier.Ejected:
		text := "ejected for " + h.Rule
		if h.Until != 0 {
			text += fmt.Sprintf(", for another %s", time.Duration(h.Until-now).Round(time.Second))
		}
		if why := m.lastError(); why != "" {
			text += "; the last error: " + why
		}
		return Status{Ejected, text}
	case h.Busy:
		return Status{Probation, fmt.Sprintf("on probation after an ejection for %s, with its one request", h.Rule)}
	case s.phase == outlier.Probation:
		return Status{Probation, untested}
	case s.degraded:
		return Status{Degraded, "degraded, as it says itself: it gets what the others cannot take"}
	case s.percent < 100:
		return Status{SlowStarting, fmt.Sprintf("in slow start: at %d %% of its weight", s.percent)}
	}
	return Status{Up, available}
}

// lastFailure says why the latest attempt that failed did.
func (m *member) lastFailure() string {
	if why := m.lastError(); why != "" {
		return why
	}
	return "connections to it fail"
}

// lastError returns the error of the latest attempt that failed; empty for none yet.
func (m *member) lastError() string {
	if failure := m.failure.Load(); failure != nil {
		return *failure
	}
	return ""
}

// outByOrder returns the status of a member that the configuration, an operator or its
// agent keeps new traffic from; false where none does.
func (m *member) outByOrder(s *state) (Status, bool) {
	code := Draining
	if s.maint {
		code = Maintenance
	}
	switch by := s.order.StateBy; {
	case s.order.State == orders.Drain:
		return Status{code, "drained" + orderedBy(by)}, true
	case s.order.State == orders.Maintenance:
		return Status{code, "in maintenance" + orderedBy(by)}, true
	}
	if by := s.order.WeightBy; by != nil && *by.Weight == 0 {
		return Status{code, "weight is 0" + orderedBy(by)}, true
	}
	if m.weight.Load() == 0 {
		return Status{code, "weight is 0"}, true
	}
	for _, w := range m.watches {
		if out := w.State().Orders.Out(); out != "" {
			return Status{code, out}, true
		}
	}
	return Status{}, false
}

// orderedBy says who has given an order, why and until when.
func orderedBy(o *orders.Order) string {
	text := " by an operator"
	if o.Ends != nil {
		text += " until " + o.Ends.UTC().Format(time.RFC3339)
	}
	if o.Reason != "" {
		text += ": " + o.Reason
	}
	return text
}

// statusOf returns the upstream's status.
func (p *Pool) statusOf(u *reverseproxy.Upstream, now int64) Status {
	m := p.member(u.Dial)
	status, limit, n := Status{Up, available}, u.MaxRequests, endpoint.Active(u)
	if m != nil {
		s := p.stateOf(m, now)
		status = m.status(&s, now)
		limit, n = tighter(limit, m.room()), m.slots.Taken(u)
	}
	switch c := (*comeback)(nil); {
	case !status.takes():
	case u.Host == nil:
	case limit > 0 && n >= limit:
		return Status{Full, fmt.Sprintf("full: %d of max_requests %d in flight", n, limit)}
	case !u.Healthy():
		return Status{Down, fmt.Sprintf("down for Caddy: its own health checks or circuit breaker, %d recent fails", u.Fails())}
	case m != nil:
		if c = m.returning.Load(); c != nil && !c.open(now) {
			return Status{Probation, "back, and answering the requests that it has first"}
		}
	}
	return status
}
