package integration

import (
	"cmp"
	"flag"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The long form of tests under load takes the rates and times that the product
// promises something for; the short one shows the same with less of both.
var long = flag.Bool("long", false, "run tests under load in their long form")

// atLength returns what is for the short form, or for the long one.
func atLength[T any](short, whole T) T {
	if *long {
		return whole
	}
	return short
}

// barrage is requests at a steady rate, whatever comes of them, except that none is
// made while maxInFlight are: a machine that cannot keep up would fall ever further
// behind.
type barrage struct {
	began   time.Time
	quit    chan struct{}
	stopped sync.WaitGroup
	open    atomic.Int64 // requests in flight

	mu      sync.Mutex
	counts  tally
	history arrivals
}

// maxInFlight is more than the rates and times of the tests come to.
const maxInFlight = 1000

// arrival is a request of a load.
type arrival struct {
	due    time.Time     // when it was its turn by the clock
	took   time.Duration // from then on
	from   string        // the name of the backend; empty if it failed
	failed string        // how
}

func (a arrival) String() string {
	return fmt.Sprintf("%s after %s", cmp.Or(a.failed, a.from), a.took.Round(time.Millisecond))
}

type arrivals []arrival

// between returns those due from one instant to the other; a zero one is no bound.
func (all arrivals) between(from, to time.Time) (some arrivals) {
	for _, a := range all {
		if !a.due.Before(from) && (to.IsZero() || a.due.Before(to)) {
			some = append(some, a)
		}
	}
	return some
}

// share returns the share of the requests that backends whose names begin as
// given have answered.
func (all arrivals) share(prefix string) float64 {
	n := 0
	for _, a := range all {
		if a.failed == "" && strings.HasPrefix(a.from, prefix) {
			n++
		}
	}
	return float64(n) / float64(max(len(all), 1))
}

func (all arrivals) failures() (n int) {
	for _, a := range all {
		if a.failed != "" {
			n++
		}
	}
	return n
}

// slowest returns the longest times first.
func (all arrivals) slowest() arrivals {
	return slices.SortedFunc(slices.Values(all), func(a, b arrival) int { return cmp.Compare(b.took, a.took) })
}

// times describes how long requests took.
func (all arrivals) times() string {
	if len(all) == 0 {
		return "no requests"
	}
	s := all.slowest()
	at := func(place int) time.Duration { return s[place].took.Round(100 * time.Microsecond) }
	return fmt.Sprintf("median %s, 99th percentile %s, longest %s", at(len(s)/2), at(len(s)/100), at(0))
}

// tally is what came of a load's requests.
type tally struct {
	ok     map[string]int // by name of the backend
	failed map[string]int // by status
	lost   map[string]int // by error: without an answer
}

func (c tally) total() int    { return sum(c.ok) + c.failures() }
func (c tally) failures() int { return sum(c.failed) + sum(c.lost) }

func (c tally) String() string {
	return fmt.Sprintf("answered %v, failed %v, lost %v", c.ok, c.failed, c.lost)
}

func sum(m map[string]int) (n int) {
	for _, count := range m {
		n += count
	}
	return n
}

// load has GETs made at the given rate per second.
func (p *proxy) load(rate int) *barrage {
	l := &barrage{
		began:  time.Now(),
		quit:   make(chan struct{}),
		counts: tally{ok: make(map[string]int), failed: make(map[string]int), lost: make(map[string]int)},
	}
	l.stopped.Go(func() {
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		for made := 0; ; {
			select {
			case <-l.quit:
				return
			case <-ticker.C:
			}
			for due := int(time.Since(l.began).Seconds() * float64(rate)); made < due; made++ {
				if l.open.Load() >= maxInFlight {
					continue
				}
				turn := l.began.Add(time.Duration(made+1) * time.Second / time.Duration(rate))
				l.open.Add(1)
				l.stopped.Go(func() {
					l.count(turn, p.do(http.MethodGet, "/", ""))
					l.open.Add(-1)
				})
			}
		}
	})
	return l
}

func (l *barrage) count(due time.Time, a answer) {
	r := arrival{due: due, took: time.Since(due)}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case a.err != nil:
		r.failed = a.err.Error()
		l.counts.lost[r.failed]++
	case a.status != http.StatusOK:
		r.failed = http.StatusText(a.status)
		l.counts.failed[r.failed]++
	default:
		r.from = a.from()
		l.counts.ok[r.from]++
	}
	l.history = append(l.history, r)
}

// answers returns how many requests the backend has answered so far.
func (l *barrage) answers(name string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts.ok[name]
}

// made returns how many requests have been answered or have failed.
func (l *barrage) made() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.history)
}

// so returns what has come of the load so far.
func (l *barrage) so() arrivals {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.history)
}

// last lets the load go on for the given time from now.
func (l *barrage) last(d time.Duration) { <-time.After(d) }

// stop ends the load, and waits for the requests that are in flight.
func (l *barrage) stop() tally {
	close(l.quit)
	l.stopped.Wait()
	return l.counts
}
