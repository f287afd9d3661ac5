package pool

import (
	"sync"
	"time"
)

// alarm calls back at the earliest of the instants that it was given.
type alarm struct {
	ring func()

	mu     sync.Mutex
	at     int64 // 0 for none
	timer  *time.Timer
	closed bool
}

// before lets it ring at the given instant at the latest; zero is never.
func (a *alarm) before(at int64) {
	if at == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || a.at != 0 && a.at <= at {
		return
	}
	a.at = at
	wait := time.Duration(at - instant(time.Now()))
	if a.timer == nil {
		a.timer = time.AfterFunc(wait, a.fire)
	} else {
		a.timer.Reset(wait)
	}
}

func (a *alarm) fire() {
	a.mu.Lock()
	a.at = 0
	closed := a.closed
	a.mu.Unlock()
	if !closed {
		a.ring()
	}
}

// close lets it not ring any more.
func (a *alarm) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	if a.timer != nil {
		a.timer.Stop()
	}
}
