package pool

import (
	"context"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/request"
	"github.com/caddy-evenkeel/evenkeel/queue"
)

// turn is how a request takes its turn among those that wait.
type turn struct {
	group queue.Key // of the request, as of its latest look
	first bool      // the request is the first of its group, and so looks for room
}

// pickInTurn picks. If all upstreams are full, it waits until one has room.
func (h *Handle) pickInTurn(q *Query) *reverseproxy.Upstream {
	p, repl := h.pool, request.Replacer(q.Request)
	if repl != nil {
		if _, refused := repl.Get(p.refusedKey); refused {
			refuse(q.Writer, repl)
			return nil
		}
	}
	if p.queue.Empty() {
		if u, full := h.look(q); u != nil || !full {
			return u
		}
	}
	q.turn = new(turn)
	if u, full := h.look(q); u != nil || !full {
		return u // no other request waits in its group
	}
	return h.wait(q, repl)
}

// wait waits until an upstream has room.
func (h *Handle) wait(q *Query, repl *caddy.Replacer) (picked *reverseproxy.Upstream) {
	p, began := h.pool, time.Now()
	ctx := context.Background()
	if q.Request != nil {
		ctx = q.Request.Context()
	}
	q.turn.first = true
	refused := p.queue.Wait(ctx, q.turn.group, func() (found queue.Look) {
		if picked, found.Full = h.look(q); picked != nil {
			found.Address = picked.Dial
		}
		return found
	})
	if repl != nil {
		repl.Set(queueWaitKey, float64(time.Since(began))/float64(time.Millisecond))
	}
	if refused == queue.None {
		return picked
	}
	metrics.refused.WithLabelValues(p.policy, string(refused)).Inc()
	if repl != nil {
		repl.Set(p.refusedKey, true)
	}
	refuse(q.Writer, repl)
	return nil
}

// refusedKeyOf returns the replacer key that marks a request as refused by the pool's
// queue.
func refusedKeyOf(p *Pool) string { return fmt.Sprintf("http.load_balancer.refused.%p", p) }

// waits reports whether the request has to wait behind others of its group. Own and
// ownOnly are those of [queue.Key].
func (q *Query) waits(p *Pool, own string, ownOnly bool) bool {
	t := q.turn
	if t == nil {
		return false
	}
	t.group = queue.Key{Set: q.membership, Own: own, OwnOnly: ownOnly}
	if !ownOnly {
		// An upstream that nothing was sent to may still serve the request, if no other
		// can. It has a mark, so that the key has it, but room there wakes the group.
		var tried []string
		q.tried.Tried(func(address string, sent bool) {
			if !sent {
				address += "\x00"
			}
			tried = append(tried, address)
		})
		t.group.Tried = queue.Listed(tried)
	}
	return !t.first && p.queue.Has(t.group)
}
