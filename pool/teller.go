package pool

import (
	"sync"
	"time"
)

// teller tells others of what has happened, one thing after the other, without
// holding up those to whom it happens.
type teller struct {
	mu      sync.Mutex
	waiting []func()
	done    chan struct{} // closed when nothing is left to tell; nil if nothing is
	held    bool
	closed  bool
}

// hold has what there is to tell wait until release.
func (t *teller) hold() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held = true
}

func (t *teller) release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held = false
	t.start()
}

// tell calls the function, after those before it; not any more once closed.
func (t *teller) tell(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	t.waiting = append(t.waiting, f)
	t.start()
}

// start begins to tell, if there is something to tell and nobody does. The mutex
// is held.
func (t *teller) start() {
	if !t.held && !t.closed && t.done == nil && len(t.waiting) > 0 {
		t.done = make(chan struct{})
		go t.run(t.done)
	}
}

func (t *teller) run(done chan struct{}) {
	defer close(done)
	for {
		t.mu.Lock()
		if len(t.waiting) == 0 {
			t.done = nil
			t.mu.Unlock()
			return
		}
		f := t.waiting[0]
		t.waiting = t.waiting[1:]
		t.mu.Unlock()
		f()
	}
}

// close waits until all is told, but not for ever: who listens may be the one who
// reloads the configuration, and so wait for us.
func (t *teller) close(patience time.Duration) {
	t.mu.Lock()
	t.closed = true
	done := t.done
	t.mu.Unlock()
	if done == nil {
		return
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}
