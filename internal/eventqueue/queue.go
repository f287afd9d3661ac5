// Package eventqueue tells others of what has happened, one thing after the
// other, without holding up those to whom it happens.
package eventqueue

import (
	"sync"
	"time"
)

// Most is how many events wait at most: enough for all upstreams of a large
// fleet to go down at once, and a bound where a listener hangs.
const Most = 20_000

// Queue calls functions in the order in which they were added, in a goroutine of
// its own that lasts while there is something to call. The zero Queue is ready.
type Queue struct {
	mu      sync.Mutex
	waiting []func()
	done    chan struct{} // closed when nothing is left to call; nil if nothing is
	held    bool
	closed  bool
}

// Hold has everything wait until [Queue.Release].
func (q *Queue) Hold() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held = true
}

// Release ends the wait.
func (q *Queue) Release() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held = false
	q.start()
}

// Add has the function called after those before it; not any more once the queue
// is closed. It returns false if the queue was full, and the function is lost.
func (q *Queue) Add(f func()) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return true
	case len(q.waiting) >= Most:
		return false
	}
	q.waiting = append(q.waiting, f)
	q.start()
	return true
}

// start begins to call, if there is something to call and nobody does. The mutex
// is held.
func (q *Queue) start() {
	if !q.held && !q.closed && q.done == nil && len(q.waiting) > 0 {
		q.done = make(chan struct{})
		go q.run(q.done)
	}
}

func (q *Queue) run(done chan struct{}) {
	defer close(done)
	for {
		q.mu.Lock()
		if len(q.waiting) == 0 {
			q.waiting, q.done = nil, nil
			q.mu.Unlock()
			return
		}
		f := q.waiting[0]
		q.waiting[0] = nil
		q.waiting = q.waiting[1:]
		q.mu.Unlock()
		f()
	}
}

// Close waits until all is told, but not longer than until the given time: who
// listens may be the one who reloads the configuration, and so wait for us. What
// is left then is lost, but for the call under way.
func (q *Queue) Close(until time.Time) {
	q.mu.Lock()
	q.closed = true
	done := q.done
	q.mu.Unlock()
	if done == nil {
		return
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		q.mu.Lock()
		q.waiting = nil
		q.mu.Unlock()
	}
}
