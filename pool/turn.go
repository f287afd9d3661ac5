package pool

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// turn is how a request that finds others waiting comes to look for room.
type turn struct {
	line  *line
	group groupKey // the one that it belongs to, as of its latest look
	come  bool     // it looks, since it is the first of its group
}

// selectInLine picks, and waits for an upstream to have room if all are full.
func (h *Handle) selectInLine(upstreams reverseproxy.UpstreamPool, q *Query) *reverseproxy.Upstream {
	p, l, repl := h.pool, h.pool.line, Replacer(q.Request)
	if repl != nil && p.observer != nil {
		if _, refused := repl.Get(p.observer.refused); refused {
			refuse(q.Writer, repl)
			return nil
		}
	}
	if l.waiting.Load() == 0 {
		if u, full := h.selectNow(upstreams, q); u != nil || !full {
			return u
		}
	}
	q.turn = &turn{line: l}
	if u, full := h.selectNow(upstreams, q); u != nil || !full {
		return u // nobody waits in its group
	}
	return h.waitInLine(upstreams, q, repl)
}

// waitInLine waits for an upstream to have room.
func (h *Handle) waitInLine(upstreams reverseproxy.UpstreamPool, q *Query, repl *caddy.Replacer) *reverseproxy.Upstream {
	p, began := h.pool, time.Now()
	ctx := context.Background()
	if q.Request != nil {
		ctx = q.Request.Context()
	}
	q.turn.come = true
	u, refused := p.line.wait(ctx, q.turn.group, func() (*reverseproxy.Upstream, bool) { return h.selectNow(upstreams, q) })
	if repl != nil {
		repl.Set(queueWaitKey, float64(time.Since(began))/float64(time.Millisecond))
	}
	if refused == "" {
		return u
	}
	metrics.refused.WithLabelValues(p.policy, refused).Inc()
	if repl != nil && p.observer != nil {
		repl.Set(p.observer.refused, true)
	}
	refuse(q.Writer, repl)
	return nil
}

// groupKey tells those apart that wait for different upstreams.
type groupKey struct {
	view   *view  // the upstreams that there are
	tried  string // see [tries.addresses]
	own    string // address of the session's upstream, if only sessions meet it, or this one only that
	strict bool   // it waits for its own alone
}

// wants reports whether room at the address may be for the group.
func (k *groupKey) wants(address string) bool {
	if k.strict || k.own == address {
		return k.own == address
	}
	return !strings.HasPrefix(k.tried, address+"\n") && !strings.Contains(k.tried, "\n"+address+"\n")
}

// waits reports whether the request has to wait behind others of its group.
func (q *Query) waits(own string, strict bool) bool {
	t := q.turn
	if t == nil {
		return false
	}
	t.group = groupKey{view: q.view, own: own, strict: strict}
	if !strict {
		t.group.tried = q.tries.addresses()
	}
	return !t.come && t.line.has(t.group)
}

// addresses returns those that were tried, in order, each with a line's end: those
// that the request is to go to only for want of others, with a mark.
func (t *tries) addresses() string {
	if t == nil {
		return ""
	}
	var all []string
	for _, try := range t.tried {
		if try.sent {
			all = append(all, try.address+"\n")
		} else {
			all = append(all, try.address+"\x00\n")
		}
	}
	slices.Sort(all)
	return strings.Join(all, "")
}
