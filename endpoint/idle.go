package endpoint

import (
	"sync"
	"sync/atomic"
	"time"
)

// Idle is how long an address keeps idle connections, as far as attempts have shown. A
// nil Idle learns nothing.
type Idle struct {
	least   atomic.Int64 // ns: the shortest idle time after which a connection was found closed; 0 for none yet
	sampled atomic.Int64 // instant of the latest Sample that returned true

	mu    sync.Mutex // guards writes of least, and:
	since int64      // instant at which the first connection was found closed
}

const (
	// ShortestIdle is the shortest idle time that a connection is closed for. One that
	// was in use shortly before is closed for another reason.
	ShortestIdle = 100 * time.Millisecond

	// settled is how long after a connection was found closed it is certain that this
	// was not the end of the upstream's process: then connections to it fail.
	settled = 10 * time.Second

	// sampling is the distance of samples.
	sampling = time.Second
)

// Least returns the shortest idle time after which a connection was found closed; 0 for
// none.
func (i *Idle) Least() time.Duration {
	if i == nil {
		return 0
	}
	return time.Duration(i.least.Load())
}

// Settled returns what Least does, once the upstream has been reachable since for long
// enough; 0 until then.
func (i *Idle) Settled(now int64) time.Duration {
	least := i.Least()
	if least == 0 {
		return 0
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if now-i.since < int64(settled) {
		return 0
	}
	return least
}

// Closed notes that a connection was found closed after the idle time.
func (i *Idle) Closed(idle time.Duration, now int64) {
	if i == nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	least := i.least.Load()
	if least == 0 {
		i.since = now
	}
	if least == 0 || int64(idle) < least {
		i.least.Store(int64(idle))
	}
}

// Open notes that a connection has served after the idle time. If that is clearly longer
// than one that was found closed had been idle, the upstream keeps them longer by now,
// or had closed that for another reason: what was learned is forgotten.
func (i *Idle) Open(idle time.Duration) {
	if least := i.Least(); least != 0 && idle > 2*least {
		i.forget()
	}
}

// Lost notes that there was no connection to the upstream. If one was found closed
// shortly before, that was the end of the upstream's process, and is forgotten.
func (i *Idle) Lost(now int64) {
	if i.Least() != 0 && i.Settled(now) == 0 {
		i.forget()
	}
}

func (i *Idle) forget() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.least.Store(0)
}

// Sample reports whether the idle time of the next connection is worth knowing: once a
// second, while something is learned that may have to be forgotten.
func (i *Idle) Sample(now int64) bool {
	if i.Least() == 0 {
		return false
	}
	last := i.sampled.Load()
	return now-last >= int64(sampling) && i.sampled.CompareAndSwap(last, now)
}
