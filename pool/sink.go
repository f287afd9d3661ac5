package pool

import (
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/attempt"
	"github.com/caddy-evenkeel/evenkeel/endpoint"
	"github.com/caddy-evenkeel/evenkeel/outlier"
)

// sink is an attempt on a member as its pool keeps it. It receives what happens to the
// attempt.
type sink struct {
	attempt.Attempt

	pool   *Pool
	member *member
	held   *hold          // what the end of the attempt gives back; nil for nothing
	report outlier.Report // of the attempt so far

	timing  bool           // the attempt is still to be timed
	tracked bool           // entry is in flight
	entry   endpoint.Entry // a part of the sink, so that it is no allocation of its own
}

// Begin implements [attempt.Source].
func (p *Pool) Begin(r *http.Request, u *reverseproxy.Upstream, pick attempt.Pick, now int64) (*attempt.Attempt, *endpoint.Endpoint) {
	if p.budget != nil {
		p.budget.Deposit(now)
	}
	p.describe(r)
	held, _ := pick.(*hold)
	m := p.memberOf(u.Dial, held)
	if m == nil {
		return nil, nil
	}
	s := &sink{pool: p, member: m}
	s.Sink = s
	s.report.Began = now
	s.timing = p.latency != nil
	if m.known != nil {
		m.known.counters.begin(now)
		if m.known.counted.Load() != u.Host {
			m.known.counted.Store(u.Host)
		}
	}
	s.tracked = m.known != nil && m.known.endpoint.InFlight.Begin(&s.entry, now)
	limitGate{}.begin(m, held)
	s.report.Round = probationGate{}.begin(m, held, now)
	if held != nil && (held.counted || held.returning != nil) {
		s.held = held
	}
	if p.counting && (held == nil || !held.counted) { // the pick was not counted, the attempt is
		m.inFlight.add(1)
		s.held = &hold{member: m, counted: true}
	}
	if m.known == nil {
		return &s.Attempt, nil
	}
	return &s.Attempt, m.known.endpoint
}

// memberOf returns the member of an attempt: that of its hold, if it has one, else that
// of the address; nil if there is none.
func (p *Pool) memberOf(address string, held *hold) *member {
	if held != nil {
		return held.member
	}
	return p.member(address)
}

// Outgoing implements [attempt.Source].
func (p *Pool) Outgoing(r *http.Request) *http.Request { return p.hide(r) }

// Unanswered implements [attempt.Source]. What the pick has set on the response must not
// lead the client to an upstream that failed.
func (p *Pool) Unanswered(r *http.Request, err error) {
	p.undo(r, nil)
	dial, _ := reverseproxy.GetDialInfo(r.Context())
	if m := p.member(dial.Upstream.Dial); m != nil {
		text := err.Error()
		m.failure.Store(&text)
	}
}

// Answered implements [attempt.Sink].
func (s *sink) Answered(res *http.Response, took time.Duration) (a attempt.Answer) {
	p, m := s.pool, s.member
	if m.known != nil {
		m.known.counters.answered(res.StatusCode, took)
	}
	for _, w := range m.watches {
		w.Response(res.Header)
	}
	p.observeResponse(s.Request, m.address, res.Header)
	p.answered(m)
	p.warnOfIdle(m)
	returnGate{}.answered(p, s.held)
	bare, bad := attempt.Bare(res), res.StatusCode >= http.StatusInternalServerError
	backsOff := s.backOff(res)
	if backsOff {
		s.timing = false
		s.endInFlight()
	}
	toLastByte := p.latency != nil && p.latency.ToLastByte
	if bare || bad || !toLastByte {
		s.time(took, bad)
		s.endInFlight()
	}
	// A socket is in flight as long as it is open.
	a.Watch = s.held != nil || toLastByte || res.StatusCode == http.StatusSwitchingProtocols && m.known != nil
	if rules := p.options.rules; rules != nil {
		s.report.Open = !bare
		if !backsOff {
			s.report.Outcome, s.report.Counts = rules.Outcome(res.StatusCode)
		}
		a.Good = s.report.Good()
		if a.Failed = !a.Good; a.Failed {
			m.failure.Store(&answerErrors[min(max(res.StatusCode, 0), len(answerErrors)-1)])
		}
		if a.Good {
			p.judge(m, s.report)
		}
	}
	return a
}

// Done implements [attempt.Sink].
func (s *sink) Done(e attempt.End) {
	m := s.member
	if m.known != nil {
		m.known.counters.end(e)
	}
	switch e {
	case attempt.Complete:
		s.time(s.Took(), false)
		m.host.Complete(s.Began)
	case attempt.Left:
		m.host.Complete(s.Began)
	case attempt.BrokeOff:
		// On a probation, the report of the header counts, not this one.
		s.pool.judge(m, outlier.Report{Outcome: outlier.Unanswered, Began: s.Began})
	case attempt.Lost, attempt.Closed, attempt.Unanswered:
		s.report.Lost, s.report.Closed = e == attempt.Lost, e == attempt.Closed
		s.time(s.Took(), true)
		s.report.Outcome = outlier.Unanswered
	case attempt.Abandoned, attempt.Stale:
		m.host.Drop(s.report.Round)
	}
	s.endInFlight()
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

// answerErrors are the errors that answers are, by their status.
var answerErrors = func() (all [1000]string) {
	for status := range all {
		all[status] = fmt.Sprintf("status %d", status)
	}
	return all
}()

// time adds the attempt to the latencies, once: how long it took, and whether it failed.
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

// endInFlight removes the attempt from those in flight to the endpoint.
func (s *sink) endInFlight() {
	if s.tracked {
		s.tracked = false
		s.member.known.endpoint.InFlight.End(&s.entry)
	}
}
