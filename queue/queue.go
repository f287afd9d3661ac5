// Package queue holds the requests that wait for an upstream with room: it says which
// of them wait for the same upstreams, in which order they go, and why a wait ended.
package queue

import (
	"container/list"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Queue is the requests that wait for an upstream with room. Those that wait for the
// same upstreams form a group. Only the first of each group looks for room; the
// others wait for their turn.
type Queue struct {
	length  int // of all groups together
	timeout time.Duration
	gauge   prometheus.Gauge // of waiting

	waiting atomic.Int32 // requests; written with mu held
	closed  chan struct{}

	mu      sync.Mutex // guards all below
	groups  map[Key]*group
	order   list.List // of *group, by the arrival of their first requests
	arrived uint64    // requests that have come
}

// Key tells groups apart.
type Key struct {
	Set     any    // stands for the upstreams that there are; comparable
	Tried   string // addresses that the request does not go to: see [Listed]
	Own     string // address of the session's upstream, if only its sessions go there or OwnOnly is set; else empty
	OwnOnly bool   // the request goes to no other upstream
}

// Listed returns the addresses as [Key.Tried] has them: sorted, each followed by a
// line feed.
func Listed(addresses []string) string {
	slices.Sort(addresses)
	var b strings.Builder
	for _, a := range addresses {
		b.WriteString(a)
		b.WriteByte('\n')
	}
	return b.String()
}

// wants reports whether room at the address may serve the group.
func (k *Key) wants(address string) bool {
	if k.OwnOnly || k.Own == address {
		return k.Own == address
	}
	return !strings.HasPrefix(k.Tried, address+"\n") && !strings.Contains(k.Tried, "\n"+address+"\n")
}

// group is the requests that wait for the same upstreams. It is never empty.
type group struct {
	key     Key
	element *list.Element // in the queue's order
	waiters list.List     // of *waiter, in the order in which they came
}

func (g *group) first() *waiter { return g.waiters.Front().Value.(*waiter) }

// waiter is a request that waits. The queue's mu guards its fields.
type waiter struct {
	number  uint64 // in the order of arrival
	group   *group
	element *list.Element // among the group's waiters
	looks   int           // in vain, since it was woken
	woken   chan struct{} // has an element if the request is to look for room

	// freed are the addresses at which a request has ended since, so that they may
	// have room. The next group is told of the room that the request does not take.
	freed []string
}

// New returns a queue with the options. The gauge shows its length.
func New(o *Options, gauge prometheus.Gauge) *Queue {
	return &Queue{
		length:  o.Length,
		timeout: time.Duration(o.Timeout),
		gauge:   gauge,
		closed:  make(chan struct{}),
		groups:  make(map[Key]*group),
	}
}

// Close ends all waits.
func (q *Queue) Close() { close(q.closed) }

// Empty reports whether no request waits. A nil Queue is empty.
func (q *Queue) Empty() bool { return q == nil || q.waiting.Load() == 0 }

// Has reports whether a request waits in the group.
func (q *Queue) Has(key Key) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.groups[key] != nil
}

// join adds a request to the end of the group; nil if the queue is full.
func (q *Queue) join(key Key) *waiter {
	q.mu.Lock()
	defer q.mu.Unlock()
	if int(q.waiting.Load()) >= q.length {
		return nil
	}
	g := q.groups[key]
	if g == nil {
		g = &group{key: key}
		g.element = q.order.PushBack(g)
		q.groups[key] = g
	}
	q.arrived++
	w := &waiter{number: q.arrived, group: g, woken: make(chan struct{}, 1)}
	w.element = g.waiters.PushBack(w)
	if g.first() == w {
		w.wake()
	}
	q.waiting.Add(1)
	q.gauge.Inc()
	return w
}

// wake makes the request look for room. The queue's mu is held.
func (w *waiter) wake() {
	w.looks = 0
	select {
	case w.woken <- struct{}{}:
	default:
	}
}

// leave removes a request, and gives the next of its group its turn.
func (q *Queue) leave(w *waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting.Add(-1)
	q.gauge.Dec()
	g := w.group
	first := g.first() == w
	if first {
		q.passOn(w, "")
	}
	g.waiters.Remove(w.element)
	switch {
	case g.waiters.Len() == 0:
		q.order.Remove(g.element)
		delete(q.groups, g.key)
	case first:
		next := g.first()
		for e := g.element.Next(); e != nil && e.Value.(*group).first().number < next.number; e = g.element.Next() {
			q.order.MoveAfter(g.element, e)
		}
		next.wake()
	}
}

// Freed says that a request at the address has ended, so that it may have room.
func (q *Queue) Freed(address string) {
	if q.Empty() {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tell(q.order.Front(), address)
}

// tell wakes the first request of the next group, from the given one on, that room at
// the address may serve. q.mu is held.
func (q *Queue) tell(e *list.Element, address string) {
	for ; e != nil; e = e.Next() {
		g := e.Value.(*group)
		if !g.key.wants(address) {
			continue
		}
		w := g.first()
		if !slices.Contains(w.freed, address) {
			w.freed = append(w.freed, address)
		}
		w.wake()
		return
	}
}

// passOn tells the next groups of the room that the first request of a group has not
// taken. q.mu is held.
func (q *Queue) passOn(w *waiter, taken string) {
	for _, address := range w.freed {
		if address != taken {
			q.tell(w.group.element.Next(), address)
		}
	}
	w.freed = w.freed[:0]
}
