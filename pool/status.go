package pool

import (
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/endpoint"
	"github.com/caddy-evenkeel/evenkeel/healthcheck"
	"github.com/caddy-evenkeel/evenkeel/outlier"
)

// Status says whether an upstream is in service, and why not.
type Status struct {
	Code   Code
	Detail string // a sentence for people
}

// Code is the status of an upstream in a word.
type Code string

const (
	Available   Code = "available"
	Drained     Code = "drained"     // its weight is 0, by configuration
	Unhealthy   Code = "unhealthy"   // a check fails
	Checking    Code = "checking"    // a check has not had its first result yet
	Ordered     Code = "ordered"     // its agent has ordered it out
	Ejected     Code = "ejected"     // requests to it failed
	OnProbation Code = "probation"   // it was ejected, and has its one request
	Full        Code = "full"        // it has as many requests in flight as its limit allows
	Down        Code = "down"        // by Caddy's own checks or circuit breaker
	Returning   Code = "returning"   // it has come back, and has to answer before it gets more
	Unreachable Code = "unreachable" // connections to it fail
	Tried       Code = "tried"       // the request has failed there
)

// status returns the member's status, without Caddy's own conditions.
func (m *member) status(now int64) Status {
	if m.weight == 0 {
		return Status{Code: Drained, Detail: "weight is 0"}
	}
	for _, w := range m.watches {
		s := w.State()
		switch s.Verdict {
		case healthcheck.Unhealthy:
			return Status{Code: Unhealthy, Detail: fmt.Sprintf("unhealthy: %s check: %s", w.Name(), s.Reason)}
		case healthcheck.Checking:
			return Status{Code: Checking, Detail: fmt.Sprintf("checking: %s check has not passed yet", w.Name())}
		}
		if out := s.Orders.Out(); out != "" {
			return Status{Code: Ordered, Detail: out}
		}
	}
	switch s := m.host.State(now); {
	case m.lost.Load() != 0:
		why := "connections to it fail"
		if failure := m.failure.Load(); failure != nil {
			why = *failure
		}
		return Status{Code: Unreachable, Detail: "unreachable: " + why}
	case s.Phase == outlier.Ejected:
		left := time.Duration(s.Until - now).Round(time.Second)
		return Status{Code: Ejected, Detail: fmt.Sprintf("ejected for %s, for another %s", s.Rule, left)}
	case s.Busy:
		return Status{Code: OnProbation, Detail: fmt.Sprintf("on probation after an ejection for %s, with its one request", s.Rule)}
	}
	return Status{Code: Available, Detail: "available now"}
}

// statusOf returns the upstream's status.
func (p *Pool) statusOf(u *reverseproxy.Upstream, now int64) Status {
	m, limit, n := p.member(u.Dial), u.MaxRequests, endpoint.Active(u)
	if m != nil {
		if s := m.status(now); s.Code != Available {
			return s
		}
		limit, n = tighter(limit, m.room()), m.slots.Taken(u)
	}
	switch {
	case m != nil && m.returning.Load() != nil && !m.returning.Load().open():
		return Status{Code: Returning, Detail: "back, and answering the requests that it has first"}
	case u.Host == nil:
	case limit > 0 && n >= limit:
		return Status{Code: Full, Detail: fmt.Sprintf("full: %d of max_requests %d in flight", n, limit)}
	case !u.Healthy():
		return Status{Code: Down, Detail: fmt.Sprintf("down for Caddy: its own health checks or circuit breaker, %d recent fails", u.Fails())}
	}
	return Status{Code: Available, Detail: "available now"}
}
