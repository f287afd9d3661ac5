package integration

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// barrage is requests at a steady rate, whatever comes of them.
type barrage struct {
	quit    chan struct{}
	stopped sync.WaitGroup

	mu     sync.Mutex
	counts tally
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
		quit:   make(chan struct{}),
		counts: tally{ok: make(map[string]int), failed: make(map[string]int), lost: make(map[string]int)},
	}
	began := time.Now()
	l.stopped.Go(func() {
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		for made := 0; ; {
			select {
			case <-l.quit:
				return
			case <-ticker.C:
			}
			for due := int(time.Since(began).Seconds() * float64(rate)); made < due; made++ {
				l.stopped.Go(func() { l.count(p.do(http.MethodGet, "/", "")) })
			}
		}
	})
	return l
}

func (l *barrage) count(a answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case a.err != nil:
		l.counts.lost[a.err.Error()]++
	case a.status != http.StatusOK:
		l.counts.failed[http.StatusText(a.status)]++
	default:
		l.counts.ok[a.from()]++
	}
}

// answers returns how many requests the backend has answered so far.
func (l *barrage) answers(name string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts.ok[name]
}

// stop ends the load, and waits for the requests that are in flight.
func (l *barrage) stop() tally {
	close(l.quit)
	l.stopped.Wait()
	return l.counts
}
