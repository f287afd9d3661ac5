package pool

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-evenkeel/evenkeel/internal/balance"
)

// Latency is what a pool knows of how fast an upstream answers. It fills a cache line
// of 64 bytes, so that it shares none. Nil stands for an untracked upstream, which is
// as fast as the mean.
type Latency struct {
	estimate atomic.Int64 // nanoseconds; 0 for none
	noise    atomic.Int64 // mean deviation of the samples from it, in nanoseconds; 0 for none
	written  atomic.Int64 // instant of the latest sample
	until    atomic.Int64 // instant until which the upstream asks to back off; 0 for never asked

	mu sync.Mutex // guards writes of all above
	_  [24]byte
}

// Expect returns the latency to expect of an upstream whose oldest attempt in flight
// began at the instant oldest (0 for none). It is the estimate; but the fleet's mean
// for a newcomer, and for an idle upstream whose latest sample is older than since. It
// is at least the age of the oldest attempt. While the upstream asks to back off, it is
// at least the rest of that time, and five seconds. Now is called only if needed.
func (l *Latency) Expect(mean time.Duration, since, oldest int64, now func() int64) time.Duration {
	if l == nil {
		return mean
	}
	estimate := l.estimate.Load()
	if estimate == 0 || oldest == 0 && l.written.Load() < since {
		estimate = int64(mean)
	}
	until := l.until.Load()
	if oldest == 0 && until == 0 {
		return time.Duration(estimate)
	}
	at := now()
	if oldest != 0 {
		estimate = max(estimate, at-oldest)
	}
	if left := until - at; left > 0 {
		estimate = max(estimate, left, int64(shortestBackOff))
	}
	return time.Duration(estimate)
}

// Noise returns the mean deviation of samples from the estimate. Without samples, it
// has no bound.
func (l *Latency) Noise() time.Duration {
	if l != nil {
		if noise := l.noise.Load(); noise != 0 {
			return time.Duration(noise)
		}
	}
	return math.MaxInt64
}

// backOff notes that the upstream asks to back off for the time.
func (l *Latency) backOff(now int64, wait time.Duration) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until.Store(max(l.until.Load(), now+int64(min(wait, longestBackOff))))
}

// observe adds a sample: how long an attempt took, and whether it failed.
func (l *Latency) observe(now int64, took time.Duration, failed bool, decay time.Duration) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	estimate := time.Duration(l.estimate.Load())
	if failed {
		took = max(took, balance.Penalty(estimate))
	}
	l.noise.Store(int64(balance.Deviation(time.Duration(l.noise.Load()), estimate, took)))
	since := time.Duration(now - l.written.Load())
	l.estimate.Store(int64(balance.PeakEWMA(estimate, took, since, decay)))
	l.written.Store(now)
}

// forget makes the upstream a newcomer.
func (l *Latency) forget() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.estimate.Store(0)
	l.noise.Store(0)
	l.until.Store(0)
}

// fleet is the mean latency of all of a pool's attempts.
type fleet struct {
	_       [64]byte     // its neighbours in memory are read at each pick
	mean    atomic.Int64 // nanoseconds; 0 for none
	written atomic.Int64
	_       [64]byte
}

// fleetWeight is one over the weight of a sample in the fleet's mean.
const fleetWeight = 32

// observe adds a sample. Of two at the same moment, one may be lost.
func (f *fleet) observe(now int64, took time.Duration) {
	mean := f.mean.Load()
	if mean == 0 {
		mean = int64(took)
	}
	f.mean.Store(max(mean+(int64(took)-mean)/fleetWeight, 1))
	f.written.Store(now)
}
