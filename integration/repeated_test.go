package integration

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// repeated is what is done again and again beside the test.
type repeated struct {
	t       *testing.T
	quit    chan struct{}
	end     sync.Once
	stopped sync.WaitGroup
	made    atomic.Int64
}

// repeatedly begins with it. It ends with the test at the latest.
func repeatedly(t *testing.T, do func()) *repeated {
	r := &repeated{t: t, quit: make(chan struct{})}
	r.stopped.Go(func() {
		for {
			select {
			case <-r.quit:
				return
			default:
				do()
				r.made.Add(1)
			}
		}
	})
	t.Cleanup(func() { r.stop() })
	return r
}

// rounds waits for n whole rounds, and what is left of the present one.
func (r *repeated) rounds(n int64) {
	r.t.Helper()
	before := r.made.Load()
	eventually(r.t, time.Minute, "another round", func() bool { return r.made.Load() > before+n })
}

// stop lets the last round end, and returns how many there were.
func (r *repeated) stop() int {
	r.end.Do(func() { close(r.quit) })
	r.stopped.Wait()
	return int(r.made.Load())
}
