package healthcheck

import (
	"container/heap"
	"time"
)

// How many probes run at once by default, at most. Probes of hung upstreams last
// for their whole timeout: this is enough for 2,000 of them in one pool, at the
// default interval and timeout. Each probe of exec is a process.
const (
	defaultConcurrency     = 1024
	defaultExecConcurrency = 16
)

// What has places of its own.
const (
	probing   = iota // all probes but those that are
	executing        // commands
	works
)

// greed is how many times as many places as it leaves free a group may have.
const greed = 4

// places is a limit on how many probes run at once, shared by groups. A free
// place goes to the group that has the fewest, and none takes all: its first place
// a group gets whenever one is free, each further one only while it has at most
// greed times as many as are free then. So of k groups that could use all, each
// has 4/(4k+1) of the places, and 1/(4k+1) is free for others at once, whatever
// hangs and for how long.
//
// The monitor's mu guards it.
type places struct {
	limit   int
	taken   int
	resting lineQueue // those where nothing is due yet
	ready   lineQueue // those where something is
}

func newPlaces(limit int) places {
	return places{
		limit:   limit,
		resting: lineQueue{before: func(a, b *line) bool { return a.due[0].next.Before(b.due[0].next) }},
		ready: lineQueue{before: func(a, b *line) bool {
			if a.taken != b.taken {
				return a.taken < b.taken
			}
			return a.due[0].next.Before(b.due[0].next)
		}},
	}
}

// line is a group's targets that wait for places, and the places that it has.
type line struct {
	due   schedule
	taken int
	in    *lineQueue // nil while nothing is scheduled
	index int        // in there
}

// settle puts the line where it belongs after a change.
func (p *places) settle(l *line, now time.Time) {
	if l.in != nil {
		heap.Remove(l.in, l.index)
	}
	switch {
	case len(l.due) == 0:
	case l.due[0].next.After(now):
		heap.Push(&p.resting, l)
	default:
		heap.Push(&p.ready, l)
	}
}

// take gives the line one place more, or, negative, back.
func (p *places) take(l *line, n int, now time.Time) {
	p.taken += n
	l.taken += n
	p.settle(l, now)
}

// next returns the line whose first target is to be probed now; nil if none is.
func (p *places) next(now time.Time) *line {
	for len(p.resting.all) > 0 && !p.resting.all[0].due[0].next.After(now) {
		p.settle(p.resting.all[0], now)
	}
	if len(p.ready.all) == 0 || !p.admit(p.ready.all[0]) {
		return nil // nor the others, which have at least as many places
	}
	return p.ready.all[0]
}

func (p *places) admit(l *line) bool {
	free := p.limit - p.taken
	if free <= 0 {
		return false
	}
	return l.taken == 0 || l.taken+1 <= greed*(free-1)
}

// lineQueue is a heap of lines.
type lineQueue struct {
	all    []*line
	before func(a, b *line) bool
}

func (q *lineQueue) Len() int           { return len(q.all) }
func (q *lineQueue) Less(i, j int) bool { return q.before(q.all[i], q.all[j]) }

func (q *lineQueue) Swap(i, j int) {
	q.all[i], q.all[j] = q.all[j], q.all[i]
	q.all[i].index, q.all[j].index = i, j
}

func (q *lineQueue) Push(x any) {
	l := x.(*line)
	l.in, l.index = q, len(q.all)
	q.all = append(q.all, l)
}

func (q *lineQueue) Pop() any {
	last := len(q.all) - 1
	l := q.all[last]
	q.all[last] = nil
	q.all = q.all[:last]
	l.in = nil
	return l
}
