package pool

import (
	"context"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/cache"
	"github.com/caddy-evenkeel/evenkeel/internal/instant"
	"github.com/caddy-evenkeel/evenkeel/internal/request"
	"github.com/caddy-evenkeel/evenkeel/queue"
)

// turn is how a request takes its turn among those that wait.
type turn struct {
	group queue.Key // of the request, as of its latest look
	first bool      // the request is the first of its group, and so looks for room
}

// pickInTurn picks. If all upstreams are full, or down, it waits until one has room.
func (h *Handle) pickInTurn(q *Query) *reverseproxy.Upstream {
	p, repl := h.pool, request.Replacer(q.Request)
	if repl != nil && refusals.Load() {
		if value, found := repl.Get(p.refusedKey); found {
			return h.pickRefused(q, repl, value.(reason))
		}
	}
	if p.queue.Empty() {
		if u, found := h.look(q); u != nil || found.Wait == queue.NoReason {
			return u
		}
	}
	q.turn = new(turn)
	u, found := h.look(q)
	if u != nil || found.Wait == queue.NoReason {
		return u // no other request waits in its group
	}
	return h.wait(q, repl, found)
}

// pickRefused picks for a request that has waited in vain before, and that Caddy tries
// again, by lb_try_duration: if an upstream has room now, and no other request waits for
// it. It does not wait a second time.
func (h *Handle) pickRefused(q *Query, repl *caddy.Replacer, why reason) *reverseproxy.Upstream {
	if h.pool.triesOn {
		q.turn = new(turn)
		if u, _ := h.look(q); u != nil {
			repl.Delete(h.pool.refusedKey)
			repl.Delete(reasonKey)
			return u
		}
	}
	h.pool.refuse(q, why)
	return nil
}

// wait waits until an upstream has room.
func (h *Handle) wait(q *Query, repl *caddy.Replacer, latest queue.Look) (picked *reverseproxy.Upstream) {
	p, began := h.pool, time.Now()
	ctx := context.Background()
	if q.Request != nil {
		ctx = q.Request.Context()
	}
	if latest.Wait == queue.AllDown && p.queue.Held() == 0 {
		p.hasten(q.membership)
	}
	q.turn.first = true
	refused := p.queue.Wait(ctx, q.turn.group, latest, func(late bool) (found queue.Look) {
		if q.moved = p.moved(q, began); q.moved {
			return found
		}
		p.keepUp()
		q.late = late
		picked, found = h.look(q)
		return found
	})
	if repl != nil {
		repl.Set(queueWaitKey, float64(time.Since(began))/float64(time.Millisecond))
	}
	if refused == queue.HoldFull && latest.Wait == queue.Returning {
		// An upstream is there: no request is refused for what it has to answer first.
		q.late = true
		picked, _ = h.look(q)
	}
	if refused == queue.None || picked != nil {
		return picked
	}
	p.memory.tally.unserved(refused)
	why := reasonOf(refused)
	if repl != nil {
		repl.Set(p.refusedKey, why)
	}
	p.refuse(q, why)
	return nil
}

// moved reports whether the request, which waits since then, has to go back to Caddy, so
// that this asks the dynamic source again: its latest answer is another one, or nobody
// has asked for some time. It may as often as Caddy has retries for that.
func (p *Pool) moved(q *Query, since time.Time) bool {
	if q.membership.upstreams != nil || p.mostAttempts == 0 || p.source.asks == nil && p.source.followed.source() == nil {
		return false
	}
	repl := request.Replacer(q.Request)
	if repl == nil {
		return false
	}
	value, _ := repl.Get(p.refusedKey + ".moved")
	times, _ := value.(int)
	if times >= moreDynamic || !p.otherAnswer(q) && !p.unasked(since) {
		return false
	}
	repl.Set(p.refusedKey+".moved", times+1)
	return true
}

// otherAnswer reports whether the source's latest answer has upstreams other than those
// that the request waits for.
func (p *Pool) otherAnswer(q *Query) bool {
	if !p.source.byRequest {
		latest := p.dynamic.latest.Load()
		return latest != nil && latest != q.membership
	}
	last := p.source.lastFor(q.Request)
	var buffer []*reverseproxy.Upstream
	return last != nil && !q.membership.fill(&buffer, last.upstreams)
}

// unasked reports whether no request has asked the source for a part of hold, which one
// has waited for since then.
func (p *Pool) unasked(since time.Time) bool {
	pause := max(sourcePause+cache.Tick, p.holdTime()/3)
	return time.Since(since) >= pause && time.Duration(instant.Now()-p.dynamic.asked.Load()) >= pause
}

// keepUp has the snapshots of a pool that is closed rebuilt, as long as requests wait:
// checks no longer tell it what they find for later configurations.
func (p *Pool) keepUp() {
	if len(p.options.HealthChecks) > 0 && p.isClosed() {
		p.changed()
	}
}

// refusedKeyOf returns the replacer key that marks a request as refused by the pool's
// queue.
func refusedKeyOf(p *Pool) string { return fmt.Sprintf("http.load_balancer.refused.%p", p) }

// waits reports whether the request has to wait behind others of its group, and what
// the first of those has found. Own and ownOnly are those of [queue.Key].
func (q *Query) waits(p *Pool, own string, ownOnly bool) (ahead queue.Look, wait bool) {
	t := q.turn
	if t == nil {
		return ahead, false
	}
	t.group = queue.Key{Set: q.membership, Own: own, OwnOnly: ownOnly}
	if !ownOnly {
		// An upstream that nothing was sent to may still serve the request.
		var tried []string
		q.tried.Tried(func(address string, sent bool) {
			if sent {
				tried = append(tried, address)
			}
		})
		t.group.Tried = queue.Listed(tried)
	}
	if t.first {
		return ahead, false
	}
	return p.queue.Latest(t.group)
}
