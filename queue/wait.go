package queue

import (
	"context"
	"time"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
)

// Pauses between two looks of the first request of a group. It looks by itself, since
// Caddy counts a request for some time after it has ended, and since the queue is not
// told of requests that other handlers send to the same upstream.
const (
	shortestPause = 50 * time.Microsecond
	longestPause  = 20 * time.Millisecond
	downPause     = 100 * time.Millisecond // while all are down: the queue is told when one is back
	keptLooks     = 2                      // looks in vain before the next group is told
	fewGroups     = 16                     // the longest pause grows with every so many: all together do not look more often
)

// Refusals are the reasons why a wait ends in vain.
var Refusals = [...]Refusal{Full, Timeout, HoldFull, HoldTimeout, Closed}

// Refusal is why a wait ended in vain.
type Refusal string

const (
	None        Refusal = ""             // it did not, or the client has gone
	Full        Refusal = "full"         // as many requests waited as queue lets
	Timeout     Refusal = "timeout"      // no upstream had room in time
	HoldFull    Refusal = "hold_full"    // as many requests waited as hold lets
	HoldTimeout Refusal = "hold_timeout" // no upstream was back in time
	Closed      Refusal = "closed"       // the pool is closed
)

// Reason is why a request has to wait.
type Reason uint8

const (
	NoReason  Reason = iota // it has not
	AllFull                 // an upstream to wait for is full
	AllDown                 // upstreams are down
	Returning               // an upstream has come back, and has as many requests as it may before it has answered more
)

// class returns the class of the requests that wait for the reason.
func (r Reason) class() int {
	if r == AllFull {
		return queued
	}
	return held
}

// Look is what a look for room has found.
type Look struct {
	Address string // of the upstream that was picked; empty for none
	Wait    Reason
	Until   int64 // instant at which the hold ends, where all are down
}

// Wait waits for the turn of a request that has looked in vain, and then until look
// picks an upstream or finds none to wait for. A request whose time is over while an
// upstream is returning looks a last time, late.
func (q *Queue) Wait(ctx context.Context, key Key, latest Look, look func(late bool) Look) Refusal {
	w, refused := q.join(key, latest)
	if w == nil {
		return refused
	}
	defer q.leave(w)
	left, _ := q.left(w)
	timeout := time.NewTimer(left)
	defer timeout.Stop()
	again := time.NewTimer(time.Hour) // when to look again, from its first turn on
	again.Stop()
	defer again.Stop()
	for {
		select {
		case <-w.woken:
		case <-again.C:
		case <-timeout.C:
			left, latest := q.left(w)
			if left > 0 {
				timeout.Reset(left)
				continue
			}
			if latest.Wait == Returning {
				found := look(true)
				pause := q.looked(w, found)
				if found.Address != "" {
					return None
				}
				if left, _ := q.left(w); left > 0 && found.Wait == AllFull { // it came back, and is full
					again.Reset(pause)
					timeout.Reset(left)
					continue
				}
			}
			return timedOut(latest.Wait)
		case <-ctx.Done():
			return None
		}
		found := look(false)
		pause := q.looked(w, found)
		if found.Address != "" || found.Wait == NoReason {
			return None
		}
		again.Reset(pause)
		left, _ := q.left(w)
		timeout.Reset(max(left, 0))
	}
}

// left returns for how long the request may still wait, as far as the latest look of
// its group tells. The time that it has waited for another reason does not count: a queue
// outlasts a restart.
func (q *Queue) left(w *waiter) (left time.Duration, latest Look) {
	q.mu.Lock()
	defer q.mu.Unlock()
	latest = w.group.latest
	class := latest.Wait.class()
	left = q.classes[class].timeout - (w.group.waitedBy(class) - w.waited[class])
	if latest.Wait == AllDown {
		left = min(left, time.Duration(latest.Until-instant.Now()))
	}
	return left, latest
}

// timedOut returns why a request is refused that has waited for the reason for too long.
func timedOut(r Reason) Refusal {
	if r.class() == held {
		return HoldTimeout
	}
	return Timeout
}

// looked notes what the first request of a group has found. Pause is the time until its
// next look.
func (q *Queue) looked(w *waiter, found Look) (pause time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if found.Address != "" {
		q.passOn(w, found.Address)
		return 0
	}
	if found.Wait != NoReason {
		w.group.found(found)
	}
	// Caddy counts a request for some time after it has ended: others should not
	// overtake meanwhile.
	if w.looks++; w.looks > keptLooks {
		q.passOn(w, "")
	}
	if found.Wait == AllDown {
		return downPause
	}
	longest := longestPause * time.Duration(1+q.order.Len()/fewGroups)
	return min(shortestPause<<min(w.looks-1, 20), longest)
}
