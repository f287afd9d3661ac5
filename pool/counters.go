package pool

import (
	"sync/atomic"
	"time"

	"github.com/caddy-evenkeel/evenkeel/attempt"
	"github.com/caddy-evenkeel/evenkeel/outlier"
)

// Classes of attempts, as metrics and the API name them. The first ones are answers, by
// the class of their status.
var Classes = [...]string{"1xx", "2xx", "3xx", "4xx", "5xx", "unconnected", "closed", "stale", "unanswered", "abandoned"}

const (
	firstUnanswered = 5 // index of Classes
	numClasses      = len(Classes)
)

// classOf returns the class of an attempt that ended so, without an answer.
func classOf(e attempt.End) (class int, ok bool) {
	switch e {
	case attempt.Lost:
		return firstUnanswered, true
	case attempt.Closed:
		return firstUnanswered + 1, true
	case attempt.Stale:
		return firstUnanswered + 2, true
	case attempt.Unanswered:
		return firstUnanswered + 3, true
	case attempt.Abandoned:
		return firstUnanswered + 4, true
	}
	return 0, false
}

// Buckets are the upper bounds of the histogram of the time until the header of an
// answer, in seconds.
var Buckets = [...]float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}

// counters count the attempts of one pool on one upstream. They outlive reloads, as what
// the pool remembers of the address does.
type counters struct {
	begun, done atomic.Uint64
	brokeOff    atomic.Uint64 // answers that broke off
	classes     [numClasses]atomic.Uint64
	buckets     [len(Buckets) + 1]atomic.Uint64
	took        atomic.Int64 // all answers together, in nanoseconds
	ejections   [numRules]atomic.Uint64
	recent      [2]atomic.Uint64 // attempts of this window and the one before: number of the window in the upper half, count in the lower
}

const numRules = 5

// window is what share of traffic is measured over.
const window = int64(10 * time.Second)

// begin counts an attempt that begins at the instant.
func (c *counters) begin(now int64) {
	c.begun.Add(1)
	number := uint64(now / window)
	at := &c.recent[number%2]
	for {
		old := at.Load()
		next := old + 1
		if old>>32 != number&0xffffffff {
			next = number<<32 | 1
		}
		if at.CompareAndSwap(old, next) {
			return
		}
	}
}

// latest returns the attempts of the last window that is over, and of the present one.
func (c *counters) latest(now int64) (last, present uint64) {
	number := uint64(now / window)
	of := func(number uint64) uint64 {
		if n := c.recent[number%2].Load(); n>>32 == number&0xffffffff {
			return n & 0xffffffff
		}
		return 0
	}
	return of(number - 1), of(number)
}

// answered counts an answer.
func (c *counters) answered(status int, took time.Duration) {
	class := min(max(status/100-1, 0), firstUnanswered-1)
	c.classes[class].Add(1)
	c.took.Add(int64(took))
	i, seconds := 0, took.Seconds()
	for i < len(Buckets) && seconds > Buckets[i] {
		i++
	}
	c.buckets[i].Add(1)
}

// end counts the end of an attempt.
func (c *counters) end(e attempt.End) {
	c.done.Add(1)
	if class, ok := classOf(e); ok {
		c.classes[class].Add(1)
	} else if e == attempt.BrokeOff {
		c.brokeOff.Add(1)
	}
}

// ejected counts an ejection.
func (c *counters) ejected(rule string) {
	for i, r := range outlier.EveryRule {
		if r == rule {
			c.ejections[i].Add(1)
		}
	}
}
