package pool

import (
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
	"github.com/caddy-evenkeel/evenkeel/internal/request"
	"github.com/caddy-evenkeel/evenkeel/queue"
)

// Keys of what a request's replacer keeps.
const (
	retryAfterKey = "http.load_balancer.retry_after" // set by us on the response
	queueWaitKey  = "http.load_balancer.queue_wait_ms"
	reasonKey     = "http.load_balancer.reason" // why the request gets no upstream, or no further attempt
)

// reason is why a request gets no upstream: the value of the placeholder
// {http.load_balancer.reason}.
type reason string

const (
	allDown      reason = "all_down"
	allDrained   reason = "drained"     // by configuration
	maintenance  reason = "maintenance" // by operators or agents
	paused       reason = "paused"      // the pool is, by an operator
	queueFull    reason = "queue_full"
	queueTimeout reason = "queue_timeout"
	holdTimeout  reason = "hold_timeout"
	holdFull     reason = "hold_full"
)

// String says the reason in a sentence.
func (r reason) String() string {
	switch r {
	case allDown:
		return "all upstreams are down, for longer than hold lets requests wait"
	case holdFull:
		return "all upstreams are down, and as many requests wait as hold lets"
	case allDrained:
		return "all upstreams have weight 0"
	case maintenance:
		return "all upstreams are drained or in maintenance, by orders"
	case paused:
		return "the pool is paused, for longer than hold lets requests wait"
	case queueFull:
		return "all upstreams are full, and the queue is, too"
	case queueTimeout:
		return "all upstreams are full, and the request has waited for too long"
	case holdTimeout:
		return "no upstream came back while the request waited"
	}
	return "no upstream is left that the request has not tried"
}

// reasonOf returns the reason of a wait that ended in vain.
func reasonOf(r queue.Refusal) reason {
	switch r {
	case queue.Full:
		return queueFull
	case queue.Timeout:
		return queueTimeout
	case queue.HoldTimeout:
		return holdTimeout
	case queue.HoldFull:
		return holdFull
	}
	return allDown
}

// refusals is whether this process has ever refused a request. Until then, no pick
// has to look for a Retry-After on its response.
var refusals atomic.Bool

// refuse says why the request gets no upstream, and, on the response, after what time
// the client may try again.
func (p *Pool) refuse(q *Query, why reason) {
	q.refused, q.why = true, why
	repl := request.Replacer(q.Request)
	if repl != nil {
		repl.Set(reasonKey, string(why))
		repl.Set(poolKey, p.naming.Load().pool)
		repl.Set(policyKey, p.naming.Load().policy)
	}
	if q.Writer == nil {
		return
	}
	refusals.Store(true)
	q.Writer.Header().Set("Retry-After", strconv.Itoa(p.retryAfter(q, why)))
	if repl != nil {
		repl.Set(retryAfterKey, true)
	}
}

// retryAfter returns the seconds until the soonest known return of an upstream; at least
// 1.
func (p *Pool) retryAfter(q *Query, why reason) int {
	if why == queueFull || why == queueTimeout || q.membership == nil {
		return 1
	}
	left := time.Duration(q.membership.snapshot.Load().soonest - q.now())
	return int(max((left+time.Second-1)/time.Second, 1))
}

// explain says why no upstream was picked for the request. One that had an attempt, and
// for which others are left but none will do, ends with the error of that.
func (p *Pool) explain(q *Query) {
	s := q.membership.snapshot.Load()
	switch {
	case s.why != "":
		p.refuse(q, s.why)
	case !q.retry:
		p.refuse(q, allDown)
	}
}

// explain says, for a snapshot without candidates, why there are none, and when one may be
// back.
func (s *Snapshot) explain(members []*member, states []state, now int64) {
	s.why = allDrained
	if s.paused {
		s.why = paused
		return
	}
	for i, m := range members {
		switch state := &states[i]; {
		case m.weight.Load() == 0:
			continue
		case state.weight == 0 && s.why == allDrained:
			s.why = maintenance
		case state.weight > 0:
			s.why = allDown
		}
		if at := m.returns(&states[i], now); at != 0 && (s.soonest == 0 || at < s.soonest) {
			s.soonest = at
		}
	}
}

// returns returns the instant at which the member may be back at the soonest, as far as
// that is known; 0 where it is not.
func (m *member) returns(s *state, now int64) (at int64) {
	if s.lost {
		return now // the plugin connects to it all the time
	}
	at = s.until
	for _, w := range m.watches {
		if next := instant.Of(w.NextProbe()); at == 0 || next < at {
			at = next
		}
	}
	return at
}

// removeRetryAfter removes the Retry-After that a refusal has set on the response, in
// this handler or in an earlier one.
func removeRetryAfter(r *http.Request, w http.ResponseWriter) {
	header := w.Header()
	if len(header["Retry-After"]) == 0 {
		return
	}
	repl := request.Replacer(r)
	if repl == nil {
		return
	}
	if _, ours := repl.Get(retryAfterKey); ours {
		repl.Delete(retryAfterKey)
		header.Del("Retry-After")
	}
}
