package healthcheck

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
)

// Check is a checker with the options that all checks have.
type Check struct {
	// The checker, and its own options.
	CheckerRaw json.RawMessage `json:"checker,omitempty" caddy:"namespace=http.reverse_proxy.health_checkers inline_key=type"`

	// What logs and events call the check. Default: the checker's name,
	// numbered from the second one on.
	Name string `json:"name,omitempty"`

	// Time from one probe of an upstream to the next. At least 50ms. Default:
	// 5s.
	Interval caddy.Duration `json:"interval,omitempty"`

	// Interval while the latest results speak against the verdict, that is,
	// between the first and the last of the consecutive results that change
	// it. Default: interval.
	TransitionInterval caddy.Duration `json:"transition_interval,omitempty"`

	// Interval while the upstream is down. Default: interval.
	DownInterval caddy.Duration `json:"down_interval,omitempty"`

	// Time after which a probe without result has failed. At least 1ms.
	// Default: 2s, or interval where that is shorter.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// By how much of the interval a probe may be late, at random, in percent.
	// Default: 10.
	Jitter *float64 `json:"jitter,omitempty"`

	// Consecutive probes that must pass before an upstream that is down is
	// up again. Default: 2.
	Passes int `json:"passes,omitempty"`

	// Consecutive probes that must fail before an upstream that is up is
	// down. Default: 3.
	Fails int `json:"fails,omitempty"`

	// Verdict on an upstream before its first probe has ended: healthy, or
	// checking, which gets no traffic. Default: healthy.
	Initial string `json:"initial,omitempty"`

	// Port to probe instead of the upstream's own. Default: 0, the
	// upstream's own.
	Port int `json:"port,omitempty"`

	// Host header and TLS server name of probes. Default: the upstream's.
	Host string `json:"host,omitempty"`

	// Header fields by which an upstream says in a response that it is
	// degraded or has failed. Default: none.
	OnResponse *OnResponse `json:"on_response,omitempty"`

	nameAt    caddyfile.Token // of the name in a Caddyfile
	portAt    caddyfile.Token // likewise
	kind      string          // of checker
	checker   Checker
	transport *transport
	key       string // equal for checks that may share their verdicts
	group     *Group
	slotClass int // of its probes
	ctx       caddy.Context
	events    *caddyevents.App
	logger    *zap.Logger
}

// Provision loads the checker and sets defaults. The transport is that of the
// handler whose upstreams are checked; nil if there is none. The group is that of
// the pool.
func (c *Check) Provision(ctx caddy.Context, transport http.RoundTripper, group *Group) error {
	if err := c.validate(); err != nil {
		return fmt.Errorf("health_check: %v", err)
	}
	c.setDefaults()
	if c.CheckerRaw == nil {
		return fmt.Errorf("health_check: missing checker; %s", cfg.There(checkers()))
	}
	config, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("health_check: encoding: %v", err)
	}
	events, err := ctx.App("events")
	if err != nil {
		return err
	}
	c.kind, c.group, c.events = c.Kind(), group, events.(*caddyevents.App)
	c.ctx, c.logger = ctx, ctx.Logger().Named("health_check")
	if c.Timeout > c.Interval {
		c.logger.Warn("health_check timeout is longer than its interval: probes of a hung upstream come less often",
			zap.String("check", c.Name),
			zap.Duration("timeout", time.Duration(c.Timeout)),
			zap.Duration("interval", time.Duration(c.Interval)))
	}
	if names := unsetVariables(c.CheckerRaw); len(names) > 0 {
		c.logger.Warn("health_check has a placeholder for an environment variable that is not set: probes have nothing in its place",
			zap.String("check", c.Name), zap.Strings("variables", names))
	}
	if err := known(c.kind); err != nil {
		return err
	}
	mod, err := ctx.LoadModule(c, "CheckerRaw")
	if err != nil {
		return fmt.Errorf("health_check: %v", err)
	}
	checker, ok := mod.(Checker)
	if !ok {
		return fmt.Errorf("health_check: the module '%s' cannot check", c.kind)
	}
	c.checker = checker
	if _, ok := checker.(*Exec); ok {
		c.slotClass = commandSlots
	}
	if owner, ok := checker.(TransportOwner); ok {
		if own := owner.OwnTransport(); own != nil {
			transport = own
		}
	}
	if owner, ok := checker.(PortOwner); ok {
		if port := owner.OwnPort(); port != 0 && c.Port != 0 {
			return fmt.Errorf("health_check: port: %s has a port of its own", c.kind)
		} else if port != 0 {
			c.Port = port
		}
	}
	c.transport, err = newTransport(ctx, transport, c.Host)
	if err != nil {
		return fmt.Errorf("health_check: %v", err)
	}
	c.key = string(config) + c.transport.fingerprint
	return nil
}

// Kind returns the checker's name, before the check is provisioned.
func (c *Check) Kind() string {
	var checker struct {
		Type string `json:"type"`
	}
	_ = json.Unmarshal(c.CheckerRaw, &checker) // Provision says what is wrong
	return checker.Type
}

// DuplicateName returns the error for a check whose name another one has, with the
// name's place in the Caddyfile.
func (c *Check) DuplicateName() error {
	return cfg.ErrAt(c.nameAt, "health_check: duplicate name '%s'", c.Name)
}

// Close closes the transport, if it is the check's own. The watches must be closed
// before.
func (c *Check) Close() error {
	if c.transport == nil {
		return nil
	}
	return c.transport.close()
}

// initial returns the state of an upstream that was never probed.
func (c *Check) initial() State {
	if c.Initial == Checking.String() {
		return State{Verdict: Checking, Unproven: true}
	}
	return State{}
}

// pause returns the time until the next probe of an upstream in the given state,
// and whether it is the regular interval.
func (c *Check) pause(s State) (time.Duration, bool) {
	d := c.Interval
	switch {
	case s.InTransition():
		d = c.TransitionInterval
	case s.Verdict == Unhealthy:
		d = c.DownInterval
	}
	return time.Duration(d), d == c.Interval
}
