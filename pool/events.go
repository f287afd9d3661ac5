package pool

import (
	"sync"
	"time"
)

// Event is something that operators are told of as it happens.
type Event struct {
	ID       uint64    `json:"id"` // rises by one
	Time     time.Time `json:"time"`
	Kind     Kind      `json:"kind"`
	Pool     string    `json:"pool"`
	Upstream string    `json:"upstream,omitempty"` // empty for an event of the pool
	From     string    `json:"from,omitempty"`
	To       string    `json:"to,omitempty"`
	Reason   string    `json:"reason,omitempty"`
}

// Kind is the kind of an event.
type Kind string

const (
	StateChanged   Kind = "state"    // an upstream has another state
	UpstreamEject  Kind = "ejection" // an upstream is ejected
	OrdersChanged  Kind = "order"    // an operator's order has taken effect, or has ended
	PanicChanged   Kind = "panic"    // a pool has begun or stopped ignoring verdicts
	OutageChanged  Kind = "outage"   // a pool has lost its last upstream, or has one back
	keptEvents          = 200
	waitingForward      = 256
)

// Events are those of all pools of the process.
var Events = new(Feed)

// Feed hands events to those who listen. One who is too slow loses events, and no one
// waits for one.
type Feed struct {
	mu        sync.Mutex // guards all below
	last      uint64
	kept      []Event // the latest ones, oldest first
	listeners map[chan Event]struct{}
}

// Publish gives the event its number, and hands it to all listeners.
func (f *Feed) Publish(e Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last++
	e.ID = f.last
	if len(f.kept) == keptEvents {
		f.kept = append(f.kept[:0], f.kept[1:]...)
	}
	f.kept = append(f.kept, e)
	for c := range f.listeners {
		select {
		case c <- e:
		default: // the gap in the numbers shows the loss
		}
	}
}

// Latest returns the latest events, oldest first.
func (f *Feed) Latest() []Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Event(nil), f.kept...)
}

// Listen returns a channel that gets all events from now on, and those kept that are
// younger than the number after, which may be 0 for none. End must be called.
func (f *Feed) Listen(after uint64) (events <-chan Event, end func()) {
	c := make(chan Event, keptEvents+waitingForward)
	f.mu.Lock()
	defer f.mu.Unlock()
	if after > 0 {
		if after > f.last {
			after = 0 // a number of the process before
		}
		for _, e := range f.kept {
			if e.ID > after {
				c <- e
			}
		}
	}
	if f.listeners == nil {
		f.listeners = make(map[chan Event]struct{})
	}
	f.listeners[c] = struct{}{}
	return c, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.listeners, c)
	}
}
