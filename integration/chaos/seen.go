package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"time"
)

// mostBlames are kept; more tell nothing new.
const mostBlames = 20

// tally counts what was seen, and keeps what is to blame on the product.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
	blames []string
}

func (s *tally) note(what string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts == nil {
		s.counts = make(map[string]int)
	}
	s.counts[what] += n
}

func (s *tally) blame(format string, args ...any) {
	s.note("blames", 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.blames) < mostBlames {
		s.blames = append(s.blames, fmt.Sprintf(format, args...))
	}
}

// verdict returns what is to blame, as an error.
func (s *tally) verdict() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.blames) == 0 {
		return nil
	}
	return errors.New(strings.Join(s.blames, "\n"))
}

func (s *tally) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for what, n := range s.counts {
		all = append(all, fmt.Sprintf("%8d %s", n, what))
	}
	slices.SortFunc(all, func(a, b string) int { return strings.Compare(a[9:], b[9:]) })
	return strings.Join(all, "\n")
}

// resources is what the process holds: clients, Caddy and backends.
type resources struct {
	goroutines, descriptors int
	heap                    uint64 // bytes
}

// What may be more than before: timers that are just firing, and a heap that has
// settled elsewhere.
const (
	moreGoroutines  = 4
	moreDescriptors = 4
	moreHeap        = 6 << 20
)

func (r resources) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %.1f MB", r.goroutines, r.descriptors, float64(r.heap)/(1<<20))
}

// covers reports whether later is no more than r.
func (r resources) covers(later resources) bool {
	return later.goroutines <= r.goroutines+moreGoroutines &&
		later.descriptors <= r.descriptors+moreDescriptors && later.heap <= r.heap+moreHeap
}

// settled returns the least that is held, within so many half seconds or until
// that is enough.
func settled(times int, enough func(resources) bool) (least resources) {
	for i := range times {
		pause(context.Background(), 500*time.Millisecond)
		now := held()
		if i == 0 {
			least = now
		}
		least.goroutines = min(least.goroutines, now.goroutines)
		least.descriptors = min(least.descriptors, now.descriptors)
		least.heap = min(least.heap, now.heap)
		if enough(least) {
			break
		}
	}
	return least
}

// held returns what is held at this moment.
func held() resources {
	logged.forget()
	runtime.GC()
	runtime.GC() // the second empties pools
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	r := resources{goroutines: runtime.NumGoroutine(), heap: mem.HeapAlloc}
	if files, err := os.ReadDir("/proc/self/fd"); err == nil {
		r.descriptors = len(files)
	}
	return r
}

func stacks() string {
	var text bytes.Buffer
	pprof.Lookup("goroutine").WriteTo(&text, 1)
	return text.String()
}
