package healthcheck

import (
	"container/heap"
	"container/list"
	"sync/atomic"
	"time"
)

// target is one check of one address.
type target struct {
	key   string // the check's
	kind  string // of checker
	name  nameOf
	work  int // what places its probes need
	state atomic.Pointer[State]

	// All below is guarded by the monitor's mu.
	watches  list.List // of *Watch: those not started, then the others in the order of their starts
	ancestor *target   // that it took its state over from, until the configuration starts
	phase    float64   // place in the interval, 0 to 1
	next     time.Time
	line     *line // where it is scheduled; nil while it is not
	index    int   // in line.due
	probe    *probe
	warning  string          // of the latest probe
	hung     <-chan struct{} // closed when the checker ends that did not do so in time; nil if there is none
	wanted   time.Time       // until when the state is, by those of dynamic sources whose watches have gone
}

// runner returns the watch whose checker probes the target: the latest started.
func (t *target) runner() *Watch {
	if last := t.watches.Back(); last != nil && last.Value.(*Watch).started {
		return last.Value.(*Watch)
	}
	return nil
}

// all returns the watches.
func (t *target) all() []*Watch {
	watches := make([]*Watch, 0, t.watches.Len())
	for e := t.watches.Front(); e != nil; e = e.Next() {
		watches = append(watches, e.Value.(*Watch))
	}
	return watches
}

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
	return t
}

// schedule lets the target's next probe be due at the given time.
func (m *Monitor) schedule(t *target, next, now time.Time) {
	runner := t.runner()
	t.next, t.line = next, runner.line()
	heap.Push(&t.line.due, t)
	m.places[t.work].settle(t.line, now)
	if next.Before(m.roused) {
		m.rouse()
	}
}

// unschedule takes the target off the schedule.
func (m *Monitor) unschedule(t *target, now time.Time) {
	l := t.line
	heap.Remove(&l.due, t.index)
	t.line = nil
	m.places[t.work].settle(l, now)
}

// move puts the target, which is scheduled, in the line of the watch that probes
// it now, if there is one.
func (m *Monitor) move(t *target, now time.Time) {
	runner := t.runner()
	if runner != nil && runner.line() == t.line {
		return
	}
	m.unschedule(t, now)
	if runner != nil {
		m.schedule(t, t.next, now)
	}
}

// scheduled reports whether any target is.
func (m *Monitor) scheduled() bool {
	for i := range m.places {
		if len(m.places[i].resting.all)+len(m.places[i].ready.all) > 0 {
			return true
		}
	}
	return false
}
