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

// turn is how a request that finds others waiting comes to look for room.
type turn struct {
	group queue.Key // that the request belongs to, as of its latest look
	come  bool      // it looks, since it is the first of its group
}

// pickInTurn picks, and waits for an upstream to have room if all are full.
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

// wait waits for an upstream to have room.
func (h *Handle) wait(q *Query, repl *caddy.Replacer) (picked *reverseproxy.Upstream) {
	p, began := h.pool, time.Now()
	ctx := context.Background()
	if q.Request != nil {
		ctx = q.Request.Context()
	}
	q.turn.come = true
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

// refusedKeyOf returns where a request's replacer has that the pool's queue has
// refused the request.
func refusedKeyOf(p *Pool) string { return fmt.Sprintf("http.load_balancer.refused.%p", p) }

// waits reports whether the request has to wait behind others of its group. Own is
// the address of its session's upstream: see [queue.Key].
func (q *Query) waits(p *Pool, own string, ownOnly bool) bool {
	t := q.turn
	if t == nil {
		return false
	}
	t.group = queue.Key{Set: q.membership, Own: own, OwnOnly: ownOnly}
	if !ownOnly {
		// An upstream that the request goes to only for want of others has a mark, and
		// so stands for no address.
		var tried []string
		q.tried.Tried(func(address string, sent bool) {
			if !sent {
				address += "\x00"
			}
			tried = append(tried, address)
		})
		t.group.Tried = queue.Listed(tried)
	}
	return !t.come && p.queue.Has(t.group)
}
