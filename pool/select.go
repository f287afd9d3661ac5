package pool

import (
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/request"
)

// Select picks one of the upstreams for the request; nil if there is none.
func (h *Handle) Select(upstreams reverseproxy.UpstreamPool, r *http.Request, w http.ResponseWriter) (picked *reverseproxy.Upstream) {
	q := newQuery(r, w)
	if i := h.pickPlain(upstreams, q); i >= 0 {
		picked = q.Upstreams[i]
	} else if h.begin(q) && h.find(upstreams, q) {
		picked = h.choose(q)
	}
	if q.extra {
		h.pool.settle(picked != nil)
	}
	if q.retry && h.owner && picked != nil {
		h.pool.memory.tally.retries.Add(1)
	}
	q.release()
	return picked
}

// pickPlain picks for a first attempt where the policy alone decides: the usual
// case, which has to be fast. None: take the slow path.
func (h *Handle) pickPlain(upstreams []*reverseproxy.Upstream, q *Query) int {
	p := h.pool
	t := p.static.snapshot.Load().plain
	if t == nil || !same(upstreams, p.static.upstreams) || request.IsRetry(q.Request) || !p.queue.Empty() {
		return None
	}
	if q.Writer != nil && refusals.Load() {
		removeRetryAfter(q.Request, q.Writer)
	}
	q.tier, q.Candidates, q.Upstreams, q.fleet = t, t.Candidates, t.upstreams, p.fleet
	return t.picker.Pick(q)
}

// begin prepares the query for a first attempt or a retry. It removes what an
// earlier pick has set on the response. It returns false if the request must not be
// sent again.
func (h *Handle) begin(q *Query) bool {
	p, r, w := h.pool, q.Request, q.Writer
	q.slow, q.at = true, 0
	retry := request.IsRetry(r)
	if p.transport != nil {
		q.fleet = p.fleet
		if retry {
			q.retryOf(p.transport.Record(r), p.mostAttempts, p.holdTime(), p.options.RetrySame)
			q.holds = q.tried != nil && p.options.hold != nil && p.connector != nil
			if q.ended || q.retry && h.owner && !p.affords(q) {
				return false
			}
		}
	}
	if w != nil && retry {
		p.undo(r, w.Header())
	}
	if w != nil && refusals.Load() {
		removeRetryAfter(r, w)
	}
	return true
}

// choose picks an upstream; nil if there is none. What the pick holds goes with the
// request to its attempt.
func (h *Handle) choose(q *Query) (picked *reverseproxy.Upstream) {
	p, r := h.pool, q.Request
	if h.owner && p.queue != nil {
		picked = h.pickInTurn(q)
	} else {
		picked, _ = h.look(q)
	}
	if picked == nil {
		if r == nil || r.Context().Err() == nil { // else the client has gone, perhaps while its request waited
			if h.owner && !q.refused {
				p.explain(q)
			}
			if !q.moved {
				p.logNone(q)
			}
		}
	} else if held := q.pick(); held != nil || p.transport.Nested() {
		p.transport.Carry(r, p, picked.Dial, held)
	}
	return picked
}
