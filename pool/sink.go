package pool

import (
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/attempt"
	"github.com/caddy-evenkeel/evenkeel/endpoint"
	"github.com/caddy-evenkeel/evenkeel/outlier"
)

// sink is what a pool keeps of an attempt on one of its members, and takes in what
// becomes of it.
type sink struct {
	attempt.Attempt

	pool   *Pool
	member *member
	held   *hold          // what is to be given back at its end; nil for nothing
	report outlier.Report // of the attempt as it is known so far

	timing  bool           // the attempt still bears on the latency
	tracked bool           // entry is in flight
	entry   endpoint.Entry // here, and not apart, for the sake of allocations
}

// Begin implements [attempt.Source].
func (p *Pool) Begin(r *http.Request, u *reverseproxy.Upstream, pick attempt.Pick, now int64) *attempt.Attempt {
	held, _ := pick.(*hold)
	m := p.memberOf(u.Dial, held)
	if m == nil {
		return nil
	}
	s := &sink{pool: p, member: m}
	s.Sink = s
	s.report.Began = now
	s.timing = p.latency != nil
	s.tracked = m.known != nil && m.known.endpoint.InFlight.Begin(&s.entry, now)
	limitGate{}.begin(m, held)
	s.report.Round = probationGate{}.begin(m, held, now)
	switch {
	case held != nil && held.counted:
		s.held = held
	case p.counting: // what has picked does not count, but the attempt does
		m.inFlight.add(1)
		s.held = &hold{member: m, counted: true}
	}
	return &s.Attempt
}

// memberOf returns the member that an attempt is on: that of its hold, if it has one;
// nil if there is none.
func (p *Pool) memberOf(address string, held *hold) *member {
	if held != nil {
		return held.member
	}
	return p.member(address)
}

// Outgoing implements [attempt.Source].
func (p *Pool) Outgoing(r *http.Request) *http.Request { return p.hide(r) }

// Unanswered implements [attempt.Source]: an upstream that failed is not to be met
// again for what an earlier pick has set on the response.
func (p *Pool) Unanswered(r *http.Request) { p.undo(r, nil) }

// Answered implements [attempt.Sink].
func (s *sink) Answered(res *http.Response, took time.Duration) (a attempt.Answer) {
	p, m := s.pool, s.member
	for _, w := range m.watches {
		w.Response(res.Header)
	}
	p.observeResponse(s.Request, m.address, res.Header)
	bare, bad := attempt.Bare(res), res.StatusCode >= http.StatusInternalServerError
	backsOff := s.backOff(res)
	if backsOff {
		s.timing = false
		s.land()
	}
	toLastByte := p.latency != nil && p.latency.ToLastByte
	if bare || bad || !toLastByte {
		s.time(took, bad)
		s.land()
	}
	a.Watch = s.held != nil || toLastByte
	if rules := p.options.rules; rules != nil {
		s.report.Open = !bare
		if !backsOff {
			s.report.Outcome, s.report.Counts = rules.Outcome(res.StatusCode)
		}
		a.Good = s.report.Good()
		a.Failed = !a.Good
		if a.Good {
			p.judge(m, s.report)
		}
	}
	return a
}

// Done implements [attempt.Sink].
func (s *sink) Done(e attempt.End) {
	m := s.member
	switch e {
	case attempt.Complete:
		s.time(s.Took(), false)
		m.host.Complete(s.Began)
	case attempt.Left:
		m.host.Complete(s.Began)
	case attempt.BrokeOff:
		// What the header has told on a probation states.
		s.pool.judge(m, outlier.Report{Outcome: outlier.Unanswered, Began: s.Began})
	case attempt.Unanswered:
		s.time(s.Took(), true)
		s.report.Outcome = outlier.Unanswered
	case attempt.Abandoned:
		m.host.Drop(s.report.Round)
	}
	s.land()
	if s.held != nil {
		s.held.GiveBack()
	}
	s.pool.queue.Freed(m.address)
}

// Blame implements [attempt.Sink].
func (s *sink) Blame(f attempt.Fault) {
	report := s.report
	switch f {
	case attempt.Upstream:
		report.Fault = outlier.Upstream
	case attempt.Request:
		report.Fault = outlier.Request
	}
	s.pool.judge(s.member, report)
}

// time takes in how long the attempt took, or that it failed, where a policy heeds
// latencies and the attempt still bears on them.
func (s *sink) time(took time.Duration, failed bool) {
	if !s.timing {
		return
	}
	s.timing = false
	now := s.Began + int64(took)
	s.member.latency.observe(now, took, failed, s.pool.latency.Decay)
	if !failed {
		s.pool.fleet.observe(now, took)
	}
}

// land ends the attempt as far as the age of those in flight is concerned.
func (s *sink) land() {
	if s.tracked {
		s.tracked = false
		s.member.known.endpoint.InFlight.End(&s.entry)
	}
}
