package healthcheck

import (
	"container/heap"
	"time"
)

// Classes of slots: each has a limit of its own.
const (
	probeSlots   = iota // all probes but those that are
	commandSlots        // commands
	slotClasses
)

// perFree is how many slots a group may have for each one that it leaves free.
const perFree = 4

// slots limits how many probes run at once, and shares them out to groups. A free
// slot goes to the group that has the fewest, and none takes all: its first slot a
// group gets whenever one is free, each further one only while it has at most
// perFree times as many as are free then. So of k groups that could use all, each
// has 4/(4k+1) of the slots, and 1/(4k+1) is free for others at once, whatever
// hangs and for how long.
//
// The monitor's mu guards it.
type slots struct {
	limit   int
	taken   int
	waiting queueHeap // queues where nothing is due yet
	ready   queueHeap // queues where something is
}

func newSlots(limit int) slots {
	return slots{
		limit:   limit,
		waiting: queueHeap{before: func(a, b *slotQueue) bool { return a.due[0].next.Before(b.due[0].next) }},
		ready: queueHeap{before: func(a, b *slotQueue) bool {
			if a.taken != b.taken {
				return a.taken < b.taken
			}
			return a.due[0].next.Before(b.due[0].next)
		}},
	}
}

// slotQueue has a group's subjects that wait for slots of one class.
type slotQueue struct {
	due   schedule
	taken int        // slots that the group has
	in    *queueHeap // nil while nothing is scheduled
	index int        // in there
}

// update moves the queue to the heap where it belongs after a change.
func (s *slots) update(q *slotQueue, now time.Time) {
	if q.in != nil {
		heap.Remove(q.in, q.index)
	}
	switch {
	case len(q.due) == 0:
	case q.due[0].next.After(now):
		heap.Push(&s.waiting, q)
	default:
		heap.Push(&s.ready, q)
	}
}

// take gives the queue n more slots; a negative n takes them back.
func (s *slots) take(q *slotQueue, n int, now time.Time) {
	s.taken += n
	q.taken += n
	s.update(q, now)
}

// next returns the queue whose first subject is to be probed now; nil if none is.
func (s *slots) next(now time.Time) *slotQueue {
	for len(s.waiting.all) > 0 && !s.waiting.all[0].due[0].next.After(now) {
		s.update(s.waiting.all[0], now)
	}
	if len(s.ready.all) == 0 || !s.admit(s.ready.all[0].taken, perFree) {
		return nil // the others have at least as many slots
	}
	return s.ready.all[0]
}

// admit reports whether somebody who has taken slots may have one more: the first of
// them, or one that leaves perFree times as many at most.
func (s *slots) admit(taken, perFree int) bool {
	free := s.limit - s.taken
	if free <= 0 {
		return false
	}
	return taken == 0 || taken+1 <= perFree*(free-1)
}

// empty reports whether no subject is scheduled.
func (s *slots) empty() bool { return len(s.waiting.all)+len(s.ready.all) == 0 }

// queueHeap is a heap of queues.
type queueHeap struct {
	all    []*slotQueue
	before func(a, b *slotQueue) bool
}

func (h *queueHeap) Len() int           { return len(h.all) }
func (h *queueHeap) Less(i, j int) bool { return h.before(h.all[i], h.all[j]) }

func (h *queueHeap) Swap(i, j int) {
	h.all[i], h.all[j] = h.all[j], h.all[i]
	h.all[i].index, h.all[j].index = i, j
}

func (h *queueHeap) Push(x any) {
	q := x.(*slotQueue)
	q.in, q.index = h, len(h.all)
	h.all = append(h.all, q)
}

func (h *queueHeap) Pop() any {
	last := len(h.all) - 1
	q := h.all[last]
	h.all[last] = nil
	h.all = h.all[:last]
	q.in = nil
	return q
}
