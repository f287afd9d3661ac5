// Package eventqueue calls listeners in order, without making the caller wait for
// them.
package eventqueue

import (
	"sync"
	"time"
)

// MaxWaiting is how many functions wait at most: enough for all upstreams of a large
// fleet to go down at once, and a bound if a listener hangs.
const MaxWaiting = 20_000

// Queue calls functions in the order in which they were added, in a goroutine of
// its own that lasts while there is something to call. The zero Queue is ready.
type Queue struct {
	mu      sync.Mutex // guards what follows
	waiting []func()
	done    chan struct{} // closed when the goroutine ends; nil if there is none
	held    bool
	closed  bool
}

// Hold makes all functions wait until [Queue.Release].
func (q *Queue) Hold() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held = true
}

// Release undoes Hold.
func (q *Queue) Release() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held = false
	q.start()
}

// Add adds a function to call; once the queue is closed, it does nothing. It returns
// false if the queue is full: the function is then lost.
func (q *Queue) Add(f func()) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return true
	case len(q.waiting) >= MaxWaiting:
		return false
	}
	q.waiting = append(q.waiting, f)
	q.start()
	return true
}

// start starts the goroutine, if it is needed and does not run. The mutex is held.
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

// Close waits until all functions have returned, or until the given time: a listener
// may be what reloads the configuration, and so wait for Close. Functions that have
// not been called by then are lost.
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
