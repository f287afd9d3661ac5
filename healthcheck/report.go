package healthcheck

import (
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddyserver/caddy/v2"
)

// report logs a probe, for debugging; and a flip, for operators, who may also
// subscribe to the events healthy and unhealthy.
func (c *Check) report(w *Watch, before, after State, r Result, flipped bool) {
	upstream := w.aim.Upstream
	if entry := c.logger.Check(zapcore.DebugLevel, "probe"); entry != nil {
		entry.Write(zap.String("upstream", upstream), zap.String("check", c.Name),
			zap.Bool("passed", r.Err == nil), zap.Duration("duration", r.Duration), zap.Error(r.Err))
	}
	if !flipped {
		return
	}
	reason, level := "passed", zapcore.InfoLevel
	if r.Err != nil {
		reason, level = r.Err.Error(), zapcore.WarnLevel
	}
	if entry := c.logger.Check(level, "upstream is "+after.Verdict.String()); entry != nil {
		entry.Write(
			zap.String("upstream", upstream),
			zap.String("check", c.Name),
			zap.Stringer("from", before.Verdict),
			zap.Stringer("to", after.Verdict),
			zap.String("reason", reason),
			zap.Int("passes", after.Passes),
			zap.Int("fails", after.Fails),
			zap.Duration("duration", r.Duration))
	}
	host := w.aim.Dial.Address // as Caddy's own events have it
	if caddy.IsUnixNetwork(w.aim.Dial.Network) || caddy.IsFdNetwork(w.aim.Dial.Network) {
		host = "localhost"
	}
	c.events.Emit(c.ctx, after.Verdict.String(), map[string]any{
		"host":     host,
		"upstream": upstream,
		"check":    c.Name,
		"from":     before.Verdict.String(),
		"to":       after.Verdict.String(),
		"reason":   reason,
		"passes":   after.Passes,
		"fails":    after.Fails,
		"duration": r.Duration,
	})
}
