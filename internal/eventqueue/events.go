package eventqueue

import (
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// Events are the log lines and the events of one pool, in the order in which they
// were added. Log lines have a queue of their own, which waits for no listener.
type Events struct {
	logger *zap.Logger
	logs   Queue
	events Queue
	lost   atomic.Int64 // when the loss of events was last logged, in Unix nanoseconds
}

// NewEvents returns an empty queue. Events are held until Release: before the
// configuration starts, Caddy is still at work on what an event has of its
// origin.
func NewEvents(logger *zap.Logger) *Events {
	e := &Events{logger: logger}
	e.events.Hold()
	return e
}

// Release lets events go out.
func (e *Events) Release() { e.events.Release() }

// Log calls f, which writes a log line, after those before it.
func (e *Events) Log(f func()) { e.logs.Add(f) }

// Emit calls f, which emits an event, after those before it. Where too many wait,
// the event is lost, and this is logged once a minute.
func (e *Events) Emit(f func()) {
	if e.events.Add(f) {
		return
	}
	now := time.Now().UnixNano()
	if last := e.lost.Load(); now-last > int64(time.Minute) && e.lost.CompareAndSwap(last, now) {
		e.Log(func() {
			e.logger.Error("events are lost: those who listen are too slow", zap.Int("waiting", MaxWaiting))
		})
	}
}

// Close closes both queues, by [Queue.Close].
func (e *Events) Close(until time.Time) {
	e.events.Close(until)
	e.logs.Close(until)
}
