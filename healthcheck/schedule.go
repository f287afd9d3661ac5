package healthcheck

import (
	"container/heap"
	"time"
)

// tick is the least time between two looks at the schedule: probes that are due
// within it start together, which saves waking up for each of thousands.
const tick = 10 * time.Millisecond

// loop starts the probes that are due until stop is closed.
func (m *Monitor) loop(woken, stop, stopped chan struct{}) {
	defer close(stopped)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-stop:
			return
		case <-timer.C:
		case <-woken:
		}
		timer.Reset(m.startDue())
	}
}

// startDue starts the probes and connections that are due and get a slot, and returns the time
// until the next look.
func (m *Monitor) startDue() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, wait := time.Now(), time.Hour // or until it is woken
	m.purge(now)
	connectionsFirst := m.connections.first
	if connectionsFirst {
		wait = m.connectDue(now)
	}
	for i := range m.slots {
		slots := &m.slots[i]
		for q := slots.next(now); q != nil; q = slots.next(now) {
			s := q.due[0]
			m.unschedule(s, now)
			m.launch(s, q, now)
		}
		if len(slots.waiting.all) > 0 {
			wait = min(wait, max(slots.waiting.all[0].due[0].next.Sub(now), tick))
		}
	}
	if !connectionsFirst {
		wait = min(wait, m.connectDue(now))
	}
	m.nextLook = now.Add(wait)
	return wait
}

// wake makes the loop look again, if there is one.
func (m *Monitor) wake() {
	select {
	case m.woken <- struct{}{}:
	default:
	}
}

// schedule makes the subject's next probe due at the given time. The mutex is
// held, as for the functions below.
func (m *Monitor) schedule(s *subject, next, now time.Time) {
	s.next, s.queue = next, s.runner().queue()
	heap.Push(&s.queue.due, s)
	m.slots[s.slotClass].update(s.queue, now)
	if next.Before(m.nextLook) {
		m.wake()
	}
}

// unschedule takes the subject off the schedule.
func (m *Monitor) unschedule(s *subject, now time.Time) {
	q := s.queue
	heap.Remove(&q.due, s.index)
	s.queue = nil
	m.slots[s.slotClass].update(q, now)
}

// reschedule moves the subject, which is scheduled, to the queue of the watch that
// probes it now; off the schedule if there is none.
func (m *Monitor) reschedule(s *subject, now time.Time) {
	runner := s.runner()
	if runner != nil && runner.queue() == s.queue {
		return
	}
	m.unschedule(s, now)
	if runner != nil {
		m.schedule(s, s.next, now)
	}
}

// idle reports whether no subject is scheduled.
func (m *Monitor) idle() bool {
	for i := range m.slots {
		if !m.slots[i].empty() {
			return false
		}
	}
	return true
}

// schedule is a heap of the subjects that wait for their next probe, the earliest
// first.
type schedule []*subject

func (s schedule) Len() int           { return len(s) }
func (s schedule) Less(i, j int) bool { return s[i].next.Before(s[j].next) }

func (s schedule) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].index, s[j].index = i, j
}

func (s *schedule) Push(x any) {
	next := x.(*subject)
	next.index = len(*s)
	*s = append(*s, next)
}

func (s *schedule) Pop() any {
	last := len(*s) - 1
	popped := (*s)[last]
	(*s)[last] = nil
	*s = (*s)[:last]
	return popped
}
