// Package ratelimit limits how often something is done, such as logging a line.
package ratelimit

import (
	"sync/atomic"
	"time"
)

// PerSecond allows one event per second. Several goroutines may use it.
type PerSecond struct {
	latest atomic.Int64 // instant of the latest event allowed; 0 for none
}

// Allow reports whether an event at the given instant is allowed.
func (p *PerSecond) Allow(now int64) bool {
	latest := p.latest.Load()
	return (latest == 0 || now-latest >= int64(time.Second)) && p.latest.CompareAndSwap(latest, now)
}
