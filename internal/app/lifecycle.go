package app

import (
	"sync"
	"sync/atomic"
	"time"
)

// generations counts the configurations of the process.
var generations atomic.Uint64

// Generation returns a number that no other configuration of the process has.
// Later ones have higher numbers; none has 0.
func (a *App) Generation() uint64 { return a.generation }

// lifecycle is what happens when a configuration starts and stops.
type lifecycle struct {
	mu      sync.Mutex // guards what follows
	started bool
	atStart []func()
	atStop  []func()
	closing time.Time // until when closing waits; zero before it begins
}

// AtStart calls f when the configuration starts, or at once if it has started.
// A configuration that is only validated, or that fails to load, never starts:
// what others can see of it begins here.
func (l *lifecycle) AtStart(f func()) {
	l.mu.Lock()
	started := l.started
	if !started {
		l.atStart = append(l.atStart, f)
	}
	l.mu.Unlock()
	if started {
		f()
	}
}

// AtStop calls f when the configuration stops.
func (l *lifecycle) AtStop(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.atStop = append(l.atStop, f)
}

// Start calls what waits for it, in the order in which it was given.
func (l *lifecycle) Start() error {
	l.mu.Lock()
	l.started = true
	waiting := l.atStart
	l.atStart = nil
	l.mu.Unlock()
	for _, f := range waiting {
		f()
	}
	return nil
}

// Stop calls what waits for it.
func (l *lifecycle) Stop() error {
	l.mu.Lock()
	waiting := l.atStop
	l.atStop = nil
	l.mu.Unlock()
	for _, f := range waiting {
		f()
	}
	return nil
}

// ClosePatience is how long closing waits for what does not end although it
// should: a checker whose context has ended, a listener to events. A reload must
// not hang on a third party's mistake.
const ClosePatience = 5 * time.Second

// CloseBy returns until when closing waits. All that ends with a configuration
// shares the time, so that a reload takes no longer for having many pools.
func (l *lifecycle) CloseBy() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing.IsZero() {
		l.closing = time.Now().Add(ClosePatience)
	}
	return l.closing
}
