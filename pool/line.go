package pool

import (
	"container/list"
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// line is the requests that wait for an upstream with room. Only the first of
// them looks for one; the others wait for it to be their turn.
type line struct {
	length  int
	timeout time.Duration
	gauge   prometheus.Gauge

	waiting atomic.Int32
	freed   chan struct{} // has an element if a request may have made room
	closed  chan struct{}

	mu    sync.Mutex
	turns list.List // of chan struct{}, each closed when its turn has come
}

func newLine(q *Queue, gauge prometheus.Gauge) *line {
	return &line{
		length:  q.Length,
		timeout: time.Duration(q.Timeout),
		gauge:   gauge,
		freed:   make(chan struct{}, 1),
		closed:  make(chan struct{}),
	}
}

// close ends all waits.
func (l *line) close() {
	close(l.closed)
}

// join goes to the end of the line; nil if it is full.
func (l *line) join() *list.Element {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.turns.Len() >= l.length {
		return nil
	}
	turn := make(chan struct{})
	place := l.turns.PushBack(turn)
	if l.turns.Len() == 1 {
		close(turn)
	}
	l.waiting.Add(1)
	l.gauge.Inc()
	return place
}

// leave goes away, and lets the next one have its turn.
func (l *line) leave(place *list.Element) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := l.turns.Front() == place
	l.turns.Remove(place)
	l.waiting.Add(-1)
	l.gauge.Dec()
	if next := l.turns.Front(); first && next != nil {
		close(next.Value.(chan struct{}))
	}
}

// ended notes that a request may have made room.
func (l *line) ended() {
	if l == nil || l.waiting.Load() == 0 {
		return
	}
	select {
	case l.freed <- struct{}{}:
	default:
	}
}

// Pauses between two looks of the first in line: Caddy counts a request for some
// time after it has ended, and nothing tells of those that go to the same
// upstream by other handlers.
const (
	shortestPause = 50 * time.Microsecond
	longestPause  = 20 * time.Millisecond
)

// Why a wait has ended in vain.
const (
	lineFull   = "full"
	waitedLong = "timeout"
	lineClosed = "closed"
)

// wait waits for its turn, and then until look has found an upstream, or found
// that there is none to be waited for.
func (l *line) wait(ctx context.Context, look func() (*reverseproxy.Upstream, bool)) (picked *reverseproxy.Upstream, refused string) {
	place := l.join()
	if place == nil {
		return nil, lineFull
	}
	defer l.leave(place)
	patience := time.NewTimer(l.timeout)
	defer patience.Stop()
	select {
	case <-place.Value.(chan struct{}):
	case <-patience.C:
		return nil, waitedLong
	case <-l.closed:
		return nil, lineClosed
	case <-ctx.Done():
		return nil, ""
	}
	pause := shortestPause
	again := time.NewTimer(pause)
	defer again.Stop()
	for {
		if u, full := look(); u != nil || !full {
			return u, ""
		}
		select {
		case <-l.freed:
			pause = shortestPause
		case <-again.C:
			pause = min(2*pause, longestPause)
		case <-patience.C:
			return nil, waitedLong
		case <-l.closed:
			return nil, lineClosed
		case <-ctx.Done():
			return nil, ""
		}
		again.Reset(pause)
	}
}

// Keys of what a request's replacer keeps.
const (
	retryAfterKey = "http.load_balancer.retry_after" // set by us on the response
	queueWaitKey  = "http.load_balancer.queue_wait_ms"
)

// retryAfter is what a client is told that was refused, in seconds.
const retryAfter = "1"

// refusals is whether a request was ever refused in this process. Until then no
// pick need look for what a refusal has left on its response.
var refusals atomic.Bool

// selectInLine picks, and waits for an upstream to have room if all are full.
func (h *Handle) selectInLine(upstreams reverseproxy.UpstreamPool, q Query) *reverseproxy.Upstream {
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
	return h.waitInLine(upstreams, q, repl)
}

// waitInLine waits for an upstream to have room.
func (h *Handle) waitInLine(upstreams reverseproxy.UpstreamPool, q Query, repl *caddy.Replacer) *reverseproxy.Upstream {
	p, began := h.pool, time.Now()
	ctx := context.Background()
	if q.Request != nil {
		ctx = q.Request.Context()
	}
	u, refused := p.line.wait(ctx, func() (*reverseproxy.Upstream, bool) { return h.selectNow(upstreams, q) })
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

// refuse tells the client when to come again.
func refuse(w http.ResponseWriter, repl *caddy.Replacer) {
	if w == nil {
		return
	}
	refusals.Store(true)
	w.Header().Set("Retry-After", retryAfter)
	if repl != nil {
		repl.Set(retryAfterKey, true)
	}
}

// takeBackRetryAfter removes what a refusal has set on the response, in this
// handler or in another one before it: whoever answers now says it anew.
func takeBackRetryAfter(r *http.Request, w http.ResponseWriter) {
	header := w.Header()
	if len(header["Retry-After"]) == 0 {
		return
	}
	repl := Replacer(r)
	if repl == nil {
		return
	}
	if _, ours := repl.Get(retryAfterKey); ours {
		repl.Delete(retryAfterKey)
		header.Del("Retry-After")
	}
}
