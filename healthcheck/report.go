package healthcheck

import (
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddyserver/caddy/v2"
)

// reportProbe logs a probe, for debugging; and a warning, for operators, when it
// is not the same as that of the probe before.
func (c *Check) reportProbe(upstream string, r Result, warning, warned string) {
	if entry := c.logger.Check(zapcore.DebugLevel, "probe"); entry != nil {
		entry.Write(zap.String("upstream", upstream), zap.String("check", c.Name),
			zap.Bool("passed", r.Err == nil), zap.Duration("duration", r.Duration), zap.Error(r.Err))
	}
	if warning != "" && warning != warned {
		c.logger.Warn("probe was not quite understood",
			zap.String("upstream", upstream), zap.String("check", c.Name), zap.String("warning", warning))
	}
}

// report has what has changed logged, for operators, who may also subscribe to
// the events: healthy and unhealthy, degraded and undegraded, orders_changed.
// The monitor's mutex is held: what is told of a target is told in the order in
// which it happened, but nothing waits for it.
func (c *Check) report(w *Watch, before, after State, took time.Duration) {
	if before.Verdict != after.Verdict {
		reason, level := "passed", zapcore.InfoLevel
		if after.Verdict == Unhealthy {
			reason, level = after.Reason, zapcore.WarnLevel
		}
		c.tell(w, level, after.Verdict.String(), "upstream is "+after.Verdict.String(),
			detail{"from", before.Verdict.String()},
			detail{"to", after.Verdict.String()},
			detail{"reason", reason},
			detail{"passes", after.Passes},
			detail{"fails", after.Fails},
			detail{"duration", took})
	}
	switch {
	case after.Degraded && !before.Degraded:
		c.tell(w, zapcore.WarnLevel, "degraded", "upstream is degraded", detail{"reason", c.OnResponse.reason(c.OnResponse.degraded)})
	case before.Degraded && !after.Degraded:
		c.tell(w, zapcore.InfoLevel, "undegraded", "upstream is no longer degraded", detail{"reason", "passed"})
	}
	if before.Orders != after.Orders {
		c.tell(w, zapcore.InfoLevel, "orders_changed", "upstream has changed its orders",
			detail{"from", before.Orders.String()},
			detail{"to", after.Orders.String()})
	}
}

// detail is a field of a log line and of an event.
type detail struct {
	key   string
	value any
}

// tell has a change logged, and an event emitted with the same details and the
// host, as Caddy's own events have it.
func (c *Check) tell(w *Watch, level zapcore.Level, event, message string, details ...detail) {
	details = append([]detail{{"upstream", w.aim.Upstream}, {"check", c.Name}}, details...)
	if entry := c.logger.Check(level, message); entry != nil {
		fields := make([]zap.Field, len(details))
		for i, d := range details {
			fields[i] = zap.Any(d.key, d.value)
		}
		c.group.logs.Add(func() { entry.Write(fields...) })
	}
	data := map[string]any{"host": w.aim.Dial.Address}
	if caddy.IsUnixNetwork(w.aim.Dial.Network) || caddy.IsFdNetwork(w.aim.Dial.Network) {
		data["host"] = "localhost"
	}
	for _, d := range details {
		data[d.key] = d.value
	}
	c.group.Tell(func() { c.events.Emit(c.ctx, event, data) })
}
