package pool

import (
	"container/list"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// line is the requests that wait for an upstream with room. Those that wait for the
// same upstreams form a group. Only the first of each looks for room; the others
// wait for it to be their turn.
type line struct {
	length  int // of all groups together
	timeout time.Duration
	gauge   prometheus.Gauge

	waiting atomic.Int32
	closed  chan struct{}

	mu      sync.Mutex
	groups  map[groupKey]*group
	order   list.List // of *group: the one whose first has come first
	arrived uint64    // how many have come
}

// group is the requests that wait for the same upstreams. It ends with the last.
type group struct {
	key     groupKey
	place   *list.Element // in the line's order
	waiters list.List     // of *waiter, in the order in which they have come
}

func (g *group) first() *waiter { return g.waiters.Front().Value.(*waiter) }

// waiter is a request that waits. Its fields are guarded by the line's mutex.
type waiter struct {
	number uint64 // of its arrival
	group  *group
	place  *list.Element // among the group's
	looks  int           // in vain since it was woken
	wake   chan struct{} // has an element if it is to look for room

	// freed are the upstreams at which there may be room since a request has ended.
	// Who takes none of it tells the next group.
	freed []string
}

func newLine(q *Queue, gauge prometheus.Gauge) *line {
	return &line{
		length:  q.Length,
		timeout: time.Duration(q.Timeout),
		gauge:   gauge,
		closed:  make(chan struct{}),
		groups:  make(map[groupKey]*group),
	}
}

// close ends all waits.
func (l *line) close() { close(l.closed) }

// has reports whether somebody waits in the group.
func (l *line) has(key groupKey) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.groups[key] != nil
}

// join goes to the end of the group; nil if the line is full.
func (l *line) join(key groupKey) *waiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if int(l.waiting.Load()) >= l.length {
		return nil
	}
	g := l.groups[key]
	if g == nil {
		g = &group{key: key}
		g.place = l.order.PushBack(g)
		l.groups[key] = g
	}
	l.arrived++
	w := &waiter{number: l.arrived, group: g, wake: make(chan struct{}, 1)}
	w.place = g.waiters.PushBack(w)
	if g.first() == w {
		w.rouse()
	}
	l.waiting.Add(1)
	l.gauge.Inc()
	return w
}

// rouse has the request look for room. l.mu is held.
func (w *waiter) rouse() {
	w.looks = 0
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// leave goes away, and lets the next of the group have its turn.
func (l *line) leave(w *waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting.Add(-1)
	l.gauge.Dec()
	g := w.group
	first := g.first() == w
	if first {
		l.passOn(w, "")
	}
	g.waiters.Remove(w.place)
	switch {
	case g.waiters.Len() == 0:
		l.order.Remove(g.place)
		delete(l.groups, g.key)
	case first:
		next := g.first()
		for e := g.place.Next(); e != nil && e.Value.(*group).first().number < next.number; e = g.place.Next() {
			l.order.MoveAfter(g.place, e)
		}
		next.rouse()
	}
}

// ended notes that a request has ended, which may have made room at the address.
func (l *line) ended(address string) {
	if l == nil || l.waiting.Load() == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tell(l.order.Front(), address)
}

// tell wakes the first of the next group, from the given one on, that room at the
// address may be for. l.mu is held.
func (l *line) tell(e *list.Element, address string) {
	for ; e != nil; e = e.Next() {
		g := e.Value.(*group)
		if !g.key.wants(address) {
			continue
		}
		w := g.first()
		if !slices.Contains(w.freed, address) {
			w.freed = append(w.freed, address)
		}
		w.rouse()
		return
	}
}

// passOn tells the next groups of the room that the first of a group has not taken.
// l.mu is held.
func (l *line) passOn(w *waiter, taken string) {
	for _, address := range w.freed {
		if address != taken {
			l.tell(w.group.place.Next(), address)
		}
	}
	w.freed = w.freed[:0]
}

// looked notes that the first of a group has looked for room, and where it has found
// some. It returns after what time it should look again.
func (l *line) looked(w *waiter, taken *reverseproxy.Upstream) (pause time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if taken != nil {
		l.passOn(w, taken.Dial)
		return 0
	}
	// Caddy counts a request for some time after it has ended: others should not
	// overtake meanwhile.
	if w.looks++; w.looks > keptLooks {
		l.passOn(w, "")
	}
	longest := longestPause * time.Duration(1+l.order.Len()/fewGroups)
	return min(shortestPause<<min(w.looks-1, 20), longest)
}

// Pauses between two looks of the first in a group: Caddy counts a request for some
// time after it has ended, and nothing tells of those that go to the same
// upstream by other handlers.
const (
	shortestPause = 50 * time.Microsecond
	longestPause  = 20 * time.Millisecond
	keptLooks     = 2  // in vain, before the next group is told
	fewGroups     = 16 // from twice as many on, each looks less often, so that all together do not look more
)

// Why a wait has ended in vain.
const (
	lineFull   = "full"
	waitedLong = "timeout"
	lineClosed = "closed"
)

// wait waits for its turn in the group, and then until look has found an upstream,
// or found that there is none to be waited for.
func (l *line) wait(ctx context.Context, key groupKey, look func() (*reverseproxy.Upstream, bool)) (picked *reverseproxy.Upstream, refused string) {
	w := l.join(key)
	if w == nil {
		return nil, lineFull
	}
	defer l.leave(w)
	patience := time.NewTimer(l.timeout)
	defer patience.Stop()
	again := time.NewTimer(l.timeout) // when to look again, from its first turn on
	again.Stop()
	defer again.Stop()
	for {
		select {
		case <-w.wake:
		case <-again.C:
		case <-patience.C:
			return nil, waitedLong
		case <-l.closed:
			return nil, lineClosed
		case <-ctx.Done():
			return nil, ""
		}
		u, full := look()
		pause := l.looked(w, u)
		if u != nil || !full {
			return u, ""
		}
		again.Reset(pause)
	}
}
