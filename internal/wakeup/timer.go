// Package wakeup calls a function at the earliest of several instants.
package wakeup

import (
	"sync"
	"time"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
)

// Timer calls Run once at the earliest of the instants that it was given, and
// then waits for the next ones.
type Timer struct {
	Run func() // set before the first instant is given

	mu     sync.Mutex // guards what follows
	at     int64      // 0 for none
	timer  *time.Timer
	closed bool
}

// Before makes the timer run at the given instant at the latest; 0 is never.
func (t *Timer) Before(at int64) {
	if at == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || t.at != 0 && t.at <= at {
		return
	}
	t.at = at
	wait := time.Duration(at - instant.Now())
	if t.timer == nil {
		t.timer = time.AfterFunc(wait, t.fire)
	} else {
		t.timer.Reset(wait)
	}
}

func (t *Timer) fire() {
	t.mu.Lock()
	t.at = 0
	closed := t.closed
	t.mu.Unlock()
	if !closed {
		t.Run()
	}
}

// Close stops the timer for good. It does not wait for a Run that has begun.
func (t *Timer) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	if t.timer != nil {
		t.timer.Stop()
	}
}
