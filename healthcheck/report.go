package healthcheck

import (
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddyserver/caddy/v2"
)

// logProbe logs a probe, for debugging; and its warning, for operators, unless the
// probe before had the same.
func (c *Check) logProbe(upstream string, r Result, warning, lastWarning string) {
	if entry := c.logger.Check(zapcore.DebugLevel, "probe"); entry != nil {
		entry.Write(zap.String("pool", c.group.poolName()), zap.String("upstream", upstream), zap.String("check", c.Name),
			zap.Bool("passed", r.Err == nil), zap.Duration("duration", r.Duration), zap.Error(r.Err))
	}
	if warning != "" && warning != lastWarning {
		c.logger.Warn("probe was not quite understood",
			zap.String("pool", c.group.poolName()), zap.String("upstream", upstream), zap.String("check", c.Name), zap.String("warning", warning))
	}
}

// report logs what has changed, and emits the events that operators may subscribe
// to: healthy and unhealthy, degraded and undegraded, orders_changed. The monitor's
// mutex is held, so that all changes of a subject are reported in order; nothing
// waits for the log or for listeners.
func (c *Check) report(w *Watch, before, after State, took time.Duration) {
	if before.Verdict != after.Verdict {
		reason, level := "passed", zapcore.InfoLevel
		if after.Verdict == Unhealthy {
			reason, level = after.Reason, zapcore.WarnLevel
		}
		c.emit(w, level, after.Verdict.String(), "upstream is "+after.Verdict.String(),
			detail{"from", before.Verdict.String()},
			detail{"to", after.Verdict.String()},
			detail{"reason", reason},
			detail{"passes", after.Passes},
			detail{"fails", after.Fails},
			detail{"duration", took})
	}
	switch {
	case after.Degraded && !before.Degraded:
		c.emit(w, zapcore.WarnLevel, "degraded", "upstream is degraded", detail{"reason", c.OnResponse.reason(c.OnResponse.degraded)})
	case before.Degraded && !after.Degraded:
		c.emit(w, zapcore.InfoLevel, "undegraded", "upstream is no longer degraded", detail{"reason", "passed"})
	}
	if before.Orders != after.Orders {
		c.emit(w, zapcore.InfoLevel, "orders_changed", "upstream has changed its orders",
			detail{"from", before.Orders.String()},
			detail{"to", after.Orders.String()})
	}
}

// detail is a field of a log line and of an event.
type detail struct {
	key   string
	value any
}

// emit logs a change, and emits an event with the same details and with the host,
// as Caddy's own events have it.
func (c *Check) emit(w *Watch, level zapcore.Level, event, message string, details ...detail) {
	details = append([]detail{{"upstream", w.target.Upstream}, {"check", c.Name}}, details...)
	if pool := c.group.poolName(); pool != "" { // the check belongs to a handler's pool
		details = append([]detail{{"pool", pool}}, details...)
	}
	if entry := c.logger.Check(level, message); entry != nil {
		fields := make([]zap.Field, len(details))
		for i, d := range details {
			fields[i] = zap.Any(d.key, d.value)
		}
		c.group.events.Log(func() { entry.Write(fields...) })
	}
	data := map[string]any{"host": w.target.Dial.Address}
	if caddy.IsUnixNetwork(w.target.Dial.Network) || caddy.IsFdNetwork(w.target.Dial.Network) {
		data["host"] = "localhost"
	}
	for _, d := range details {
		data[d.key] = d.value
	}
	c.group.events.Emit(func() { c.events.Emit(c.ctx, event, data) })
}
