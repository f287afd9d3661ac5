// Package queue holds the requests that wait for an upstream: because all are full, or
// because all are down. It says which of them wait for the same upstreams, in which
// order they go, and why a wait ended.
package queue

import (
	"container/list"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Queue is the requests that wait for an upstream. Those that wait for the same
// upstreams form a group. Only the first of each group looks for room; the others wait
// for their turn.
type Queue struct {
	classes [classes]class

	waiting atomic.Int32 // requests; written with mu held
	held    atomic.Int32 // those of them that the option hold lets wait; likewise

	mu      sync.Mutex // guards all below
	groups  map[Key]*group
	order   list.List // of *group, by the arrival of their first requests
	arrived uint64    // requests that have come
	closing bool      // no request is to come
	done    func()    // called once closing is set and none waits; nil once called
}

// Requests of a class share a limit.
const (
	queued = iota // by the option queue: all upstreams are full
	held          // by the option hold: all upstreams are down
	classes
)

// class is how many requests of a class may wait, and how long.
type class struct {
	most    int // 0: none may wait
	timeout time.Duration
	waiting int // the queue's mu guards it
}

// waiter is a request that waits. The queue's mu guards its fields.
type waiter struct {
	number  uint64                 // in the order of arrival
	class   int                    // that it counts for
	waited  [classes]time.Duration // how long its group had waited when it came
	group   *group
	element *list.Element // among the group's waiters
	looks   int           // in vain, since it was woken
	woken   chan struct{} // has an element if the request is to look for room

	// freed are the addresses at which a request has ended since, so that they may
	// have room. The next group is told of the room that the request does not take.
	freed []string
}

// New returns a queue for requests that wait because all upstreams are full, by the
// options o, or because all are down, by the options h. Nil options let none wait.
func New(o *Options, h *HoldOptions) *Queue {
	q := &Queue{groups: make(map[Key]*group)}
	if o != nil {
		q.classes[queued] = class{most: o.Length, timeout: time.Duration(o.Timeout)}
	}
	if h != nil {
		q.classes[held] = class{most: h.Requests, timeout: time.Duration(h.Duration)}
	}
	return q
}

// Close has done called once no request waits: requests that wait go on waiting.
func (q *Queue) Close(done func()) {
	q.mu.Lock()
	q.closing, q.done = true, done
	done = q.finished()
	q.mu.Unlock()
	done()
}

// finished returns what is to be called once no request waits; a function that does
// nothing while one does. q.mu is held.
func (q *Queue) finished() func() {
	if !q.closing || q.done == nil || q.waiting.Load() > 0 {
		return func() {}
	}
	done := q.done
	q.done = nil
	return done
}

// Empty reports whether no request waits. A nil Queue is empty.
func (q *Queue) Empty() bool { return q == nil || q.waiting.Load() == 0 }

// Held returns how many requests wait because all upstreams are down, or have just come
// back. A nil Queue has none.
func (q *Queue) Held() int {
	if q == nil {
		return 0
	}
	return int(q.held.Load())
}

// Queued returns how many requests wait because all upstreams are full. A nil Queue has
// none.
func (q *Queue) Queued() int {
	if q == nil {
		return 0
	}
	return int(q.waiting.Load() - q.held.Load())
}

// Latest reports whether a request waits in the group, and what the first of it has
// found.
func (q *Queue) Latest(key Key) (latest Look, waits bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if g := q.groups[key]; g != nil {
		return g.latest, true
	}
	return latest, false
}

// join adds a request, which has looked in vain, to the end of the group; nil and why
// if it may not wait.
func (q *Queue) join(key Key, latest Look) (*waiter, Refusal) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := latest.Wait.class()
	switch c := &q.classes[n]; {
	case q.closing && q.done == nil:
		return nil, Closed
	case c.waiting >= c.most && n == held:
		return nil, HoldFull
	case c.waiting >= c.most:
		return nil, Full
	}
	g := q.groups[key]
	if g == nil {
		g = &group{key: key, latest: latest, since: time.Now()}
		g.element = q.order.PushBack(g)
		q.groups[key] = g
	}
	q.arrived++
	w := &waiter{number: q.arrived, class: n, group: g, woken: make(chan struct{}, 1)}
	for i := range w.waited {
		w.waited[i] = g.waitedBy(i)
	}
	w.element = g.waiters.PushBack(w)
	if g.first() == w {
		w.wake()
	}
	q.count(n, 1)
	return w, None
}

// count adds to the number of requests of the class. q.mu is held.
func (q *Queue) count(class, more int) {
	c := &q.classes[class]
	c.waiting += more
	q.waiting.Add(int32(more))
	if class == held {
		q.held.Add(int32(more))
	}
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
	q.count(w.class, -1)
	q.remove(w)
	done := q.finished()
	q.mu.Unlock()
	done()
}

// remove takes the request out of its group. q.mu is held.
func (q *Queue) remove(w *waiter) {
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

// Wake says that something has changed for the upstreams that the set stands for: the
// groups that wait for them look again.
func (q *Queue) Wake(set any) {
	if q.Empty() {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for e := q.order.Front(); e != nil; e = e.Next() {
		if g := e.Value.(*group); g.key.Set == set {
			g.first().wake()
		}
	}
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
