package healthcheck

import (
	"container/heap"
	"time"
)

// schedule is a heap of the targets that wait for their next probe, the
// earliest first.
type schedule []*target

func (s schedule) Len() int           { return len(s) }
func (s schedule) Less(i, j int) bool { return s[i].next.Before(s[j].next) }

func (s schedule) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].index, s[j].index = i, j
}

func (s *schedule) Push(x any) {
	t := x.(*target)
	t.index = len(*s)
	*s = append(*s, t)
}

func (s *schedule) Pop() any {
	last := len(*s) - 1
	t := (*s)[last]
	(*s)[last] = nil
	*s = (*s)[:last]
	t.index = -1
	return t
}

// schedule lets the target's next probe be due at the given time.
func (m *Monitor) schedule(t *target, next time.Time) {
	t.next = next
	heap.Push(&m.due, t)
	if t.index == 0 {
		m.rouse()
	}
}

// unschedule takes the target off the schedule, if it is there.
func (m *Monitor) unschedule(t *target) {
	if t.index >= 0 {
		heap.Remove(&m.due, t.index)
	}
}
