package healthcheck

import (
	"container/heap"
	"context"
	"slices"
	"time"
)

// Bounds of the connections that all reconnections open together in a second. As the
// monitor looks once a tick, as many as are due within a tick may begin at once.
const (
	maxConnections     = 1000 // a second
	connectionsAtOnce  = int(maxConnections * tick / time.Second)
	connectionDistance = time.Second / time.Duration(maxConnections-connectionsAtOnce)
)

// connections schedules the connections of all reconnections. The monitor's mu
// guards it.
//
// What may begin is shared by groups: in the bound of connections a second, the group
// whose upstreams have had the fewest goes first (start-time fair queueing); of the
// slots of probes, a group gets its first one whenever one is free, each further one
// only while its connections have fewer than are free. So connections leave probes
// at least half of what there is.
type connections struct {
	queues  []*connectionQueue // those where something waits
	virtual int                // number that the latest connection had in its group
	free    time.Time          // when the bound of connections a second allows the next
	starved bool               // one that is due lacks a slot
	first   bool               // connections get slots before probes: the latest was a probe's
}

// connectionQueue has a group's lost upstreams that wait for connections.
type connectionQueue struct {
	due    lostHeap
	taken  int // slots that the group's connections have
	number int // of the group's next connection
}

func (c *connections) add(l *lost, q *connectionQueue) {
	l.queue = q
	heap.Push(&q.due, l)
	if len(q.due) == 1 {
		c.queues = append(c.queues, q)
	}
}

func (c *connections) remove(l *lost) {
	q := l.queue
	heap.Remove(&q.due, l.index)
	l.queue = nil
	if len(q.due) == 0 {
		c.queues = slices.DeleteFunc(c.queues, func(other *connectionQueue) bool { return other == q })
	}
}

// next returns the queue whose first upstream is to be connected to now; nil if none.
func (c *connections) next(s *slots, now time.Time) (next *connectionQueue) {
	c.starved = false
	for _, q := range c.queues {
		switch {
		case q.due[0].due.After(now):
		case !s.admit(q.taken, 1):
			c.starved = true
		case next == nil || c.before(q, next):
			next = q
		}
	}
	return next
}

// before reports whether queue a goes before b.
func (c *connections) before(a, b *connectionQueue) bool {
	na, nb := max(a.number, c.virtual), max(b.number, c.virtual)
	if na != nb {
		return na < nb
	}
	return a.due[0].due.Before(b.due[0].due)
}

// count counts a connection of the queue.
func (c *connections) count(q *connectionQueue, now time.Time) {
	c.virtual = max(q.number, c.virtual)
	q.number = c.virtual + 1
	if earliest := now.Add(-time.Duration(connectionsAtOnce) * connectionDistance); c.free.Before(earliest) {
		c.free = earliest
	}
	c.free = c.free.Add(connectionDistance)
}

// connection is one that is under way.
type connection struct {
	by       *Reconnecting // whose turn it is
	began    time.Time
	cancel   context.CancelFunc
	canceled bool          // by was stopped: the result does not count
	ended    chan struct{} // closed when its result is dealt with
}

// connectDue begins the connections that are due and get a slot, and returns the time
// until the next look. The mutex is held, as for the function below.
func (m *Monitor) connectDue(now time.Time) time.Duration {
	c, wait := &m.connections, time.Hour
	for q := c.next(&m.slots[probeSlots], now); q != nil; q = c.next(&m.slots[probeSlots], now) {
		if c.free.After(now) {
			return tick
		}
		c.count(q, now)
		m.connect(q.due[0], now)
	}
	for _, q := range c.queues {
		if due := q.due[0].due; due.After(now) {
			wait = min(wait, max(due.Sub(now), tick))
		}
	}
	return wait
}

// connect begins a connection to the upstream.
func (m *Monitor) connect(l *lost, now time.Time) {
	q := l.queue
	m.connections.remove(l)
	ctx, cancel := context.WithTimeout(context.Background(), l.turn.Connector.patience())
	c := &connection{by: l.turn, began: now, cancel: cancel, ended: make(chan struct{})}
	l.connection = c
	c.by.group.connections[c] = struct{}{}
	q.taken++
	m.slots[probeSlots].taken++
	m.connections.first = false
	go m.connectOnce(ctx, l, c, q)
}

// connectOnce opens the connection, and tells the reconnections that it has reached
// the upstream for.
func (m *Monitor) connectOnce(ctx context.Context, l *lost, c *connection, q *connectionQueue) {
	defer close(c.ended)
	err := c.by.Connector.Connect(ctx, l.dialled)
	c.cancel()
	m.mu.Lock()
	reached := m.connected(l, c, err)
	q.taken--
	m.slots[probeSlots].taken--
	if m.connections.starved || len(m.slots[probeSlots].ready.all) > 0 {
		m.wake() // one that waits may have this slot
	}
	for _, r := range reached {
		r.group.connections[c] = struct{}{} // its closing waits for Reached
	}
	m.mu.Unlock()
	for _, r := range reached {
		r.Reached()
	}
	m.mu.Lock()
	delete(c.by.group.connections, c)
	for _, r := range reached {
		delete(r.group.connections, c)
	}
	stopped := m.endUnused()
	m.mu.Unlock()
	if stopped != nil {
		<-stopped
	}
}

// connected applies the result of a connection, gives others their turns, and returns
// the reconnections that are over. The mutex is held.
func (m *Monitor) connected(l *lost, c *connection, err error) (reached []*Reconnecting) {
	now := time.Now()
	l.connection = nil
	if c.canceled {
		l.next = now
		m.place(l, now)
		return nil
	}
	var others, equal []*Reconnecting
	for _, r := range l.users {
		switch {
		case r.from.After(c.began) || !r.Connector.equal(c.by.Connector):
			others = append(others, r)
		case r != c.by:
			equal = append(equal, r)
		}
	}
	equal = append(equal, c.by)
	if err != nil {
		l.users = append(others, equal...)
		for _, r := range equal {
			if r.Failed != nil {
				r.Failed(err)
			}
		}
	} else {
		l.users, reached = others, equal
		for _, r := range reached {
			r.over = true
			delete(r.group.reconnecting, r)
		}
	}
	m.widen(l, now)
	m.place(l, now)
	return reached
}

// lostHeap is a heap of lost upstreams, the one that is due first in front.
type lostHeap []*lost

func (h lostHeap) Len() int           { return len(h) }
func (h lostHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }

func (h lostHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *lostHeap) Push(x any) {
	l := x.(*lost)
	l.index = len(*h)
	*h = append(*h, l)
}

func (h *lostHeap) Pop() any {
	last := len(*h) - 1
	popped := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return popped
}
