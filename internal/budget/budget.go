// Package budget limits how many of the attempts to serve requests are extra ones:
// retries, and second attempts beside slow first ones. Finagle and linkerd call it a
// retry budget.
package budget

import (
	"sync"
	"sync/atomic"
	"time"
)

// Budget counts the attempts of the last seconds, and grants extra ones as a [Limit]
// lets it. The zero value has counted none. It may be used concurrently.
//
// With each grant, the extra attempts of the last 10 s, this one and those that are
// granted and not yet made included, are at most Percent of the first attempts of the
// last 10 s, and 10 × PerSecond. Counts are kept by whole seconds, and err on the safe
// side: extra attempts count for 10 to 11 s, first ones for 9 to 10 s. It follows:
//
//   - In any n × 10 s, the extra attempts are at most n × 10 × PerSecond, and Percent
//     of the first attempts in that time and the 10 s before. No first attempt counts
//     for two extra ones that are more than 10 s apart. So over a long time extra
//     attempts keep to Percent of the first, and PerSecond.
//   - They may come all at once: a burst is 10 × PerSecond, and Percent of the first
//     attempts of the last 10 s. After it there is no extra attempt for 10 s, but for
//     what first attempts add beyond the rate of before.
//
// An extra attempt that is granted, and then waits, counts all the while, and for
// another 10 s once it is made.
type Budget struct {
	// Attempts, first and extra ones. Every request adds one, so they are spread: a
	// slot is an int64 that several processors rarely want at once.
	shards [shards]shard

	mu      sync.Mutex // guards:
	extra   [slots]slot
	granted int // extra attempts that are neither made nor given up
}

// Limit is how many extra attempts there may be.
type Limit struct {
	Percent   float64 // of the first attempts
	PerSecond int     // beside those
}

// Level is how many attempts a budget has counted in its last seconds.
type Level struct{ First, Extra int }

const (
	shardBits = 4
	shards    = 1 << shardBits

	slots = 16 // of a second each; a power of two above the seconds that count

	firstWindow = uint32(Window / time.Second)
	extraWindow = firstWindow + 1
)

// Window is how far back attempts count.
const Window = 10 * time.Second

// shard is a part of the attempts, by the second. A slot has the second in its upper
// half, and its count in the lower one.
type shard [slots]atomic.Uint64

// slot is how many extra attempts were made in the second.
type slot struct {
	second uint32
	n      int
}

// secondOf returns the second of an instant.
func secondOf(now int64) uint32 { return uint32(now / int64(time.Second)) }

// shardOf returns the shard of an attempt that begins now: a hash of the time, since
// a random number costs as much as all the rest.
func shardOf(now int64) uint64 { return uint64(now) * 0x9E3779B97F4A7C15 >> (64 - shardBits) }

// Deposit counts an attempt that begins now: a first one, or an extra one that
// [Budget.Made] has counted or is about to count.
func (b *Budget) Deposit(now int64) {
	second := secondOf(now)
	count := &b.shards[shardOf(now)][second%slots]
	for {
		old := count.Load()
		next := old + 1
		if at := uint32(old >> 32); at > second {
			return // late by so much that it counts no more
		} else if at < second {
			next = uint64(second)<<32 | 1
		}
		if count.CompareAndSwap(old, next) {
			return
		}
	}
}

// Withdraw reports whether there may be an extra attempt. Each that is granted must be
// followed by [Budget.Made] or [Budget.GiveUp]. The level is that without it.
func (b *Budget) Withdraw(now int64, l Limit) (granted bool, level Level) {
	b.mu.Lock()
	defer b.mu.Unlock()
	second := secondOf(now)
	level.First = max(b.attempts(second)-b.extras(second, firstWindow), 0)
	level.Extra = b.extras(second, extraWindow) + b.granted
	most := l.Percent*float64(level.First)/100 + float64(l.PerSecond)*Window.Seconds()
	if float64(level.Extra+1) > most {
		return false, level
	}
	b.granted++
	return true, level
}

// Made notes that an extra attempt that was granted is made now.
func (b *Budget) Made(now int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.granted--
	second := secondOf(now)
	s := &b.extra[second%slots]
	if s.second < second {
		*s = slot{second: second}
	}
	if s.second == second {
		s.n++
	}
}

// GiveUp notes that an extra attempt that was granted is not made.
func (b *Budget) GiveUp() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.granted--
}

// attempts returns how many there were in the window of first attempts.
func (b *Budget) attempts(second uint32) (n int) {
	for i := range b.shards {
		for k := range min(firstWindow, second+1) {
			at := second - k
			if v := b.shards[i][at%slots].Load(); uint32(v>>32) == at {
				n += int(uint32(v))
			}
		}
	}
	return n
}

// extras returns how many extra attempts were made within the window. b.mu is held.
func (b *Budget) extras(second, window uint32) (n int) {
	for k := range min(window, second+1) {
		if s := b.extra[(second-k)%slots]; s.second == second-k {
			n += s.n
		}
	}
	return n
}
