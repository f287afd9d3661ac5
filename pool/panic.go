package pool

import (
	"time"

	"go.uber.org/zap"
)

// notePanic logs, counts and emits the beginning and the end of a panic: once, over
// reloads, too.
func (p *Pool) notePanic(h *history, s *Snapshot, serving census) {
	h.mu.Lock()
	changed := h.panicking != s.panicking
	h.panicking = s.panicking
	h.mu.Unlock()
	if !changed {
		return
	}
	numbers := []zap.Field{zap.String("policy", p.policy), zap.Int("healthy", serving.up), zap.Int("upstreams", serving.weighted)}
	event, count := "panic_left", &p.memory.tally.panicsLeft
	told := Event{Time: time.Now(), Kind: PanicChanged, Pool: p.Name(), From: "panic", Reason: "enough upstreams are healthy"}
	if s.panicking {
		event, count = "panic_entered", &p.memory.tally.panicsEntered
		told.From, told.To, told.Reason = "", "panic", "too few upstreams are healthy, so verdicts of checks and ejections are ignored"
		p.log().Warn("panic: too few upstreams are healthy, so verdicts of checks and ejections are ignored", numbers...)
	} else {
		p.log().Info("panic is over: verdicts of checks and ejections count again", numbers...)
	}
	count.Add(1)
	if p.serving.Load() { // else a configuration that may never serve
		Events.Publish(told)
	}
	p.emit(event, map[string]any{"policy": p.policy, "healthy": serving.up, "upstreams": serving.weighted})
}
