package healthcheck

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
)

// Defaults of checks.
const (
	defaultInterval = 5 * time.Second
	defaultTimeout  = 2 * time.Second
	defaultJitter   = 10
	defaultPasses   = 2
	defaultFails    = 3
)

const (
	minTimeout = time.Millisecond
	maxPort    = 65535
)

// durationOption is an option of a check that is a duration.
type durationOption struct {
	name  string
	value *caddy.Duration
	least time.Duration
}

func (c *Check) durations() []durationOption {
	return []durationOption{
		{"interval", &c.Interval, cfg.MinInterval},
		{"timeout", &c.Timeout, minTimeout},
		{"transition_interval", &c.TransitionInterval, cfg.MinInterval},
		{"down_interval", &c.DownInterval, cfg.MinInterval},
	}
}

// countOption is an option of a check that is a number above zero.
type countOption struct {
	name  string
	value *int
}

func (c *Check) counts() []countOption {
	return []countOption{{"passes", &c.Passes}, {"fails", &c.Fails}}
}

// validate returns an error that names an option and its value. What is unset
// passes.
func (c *Check) validate() error {
	for _, d := range c.durations() {
		if err := cfg.CheckDuration(d.name, *d.value, d.least); err != nil {
			return err
		}
	}
	if c.Jitter != nil {
		if err := cfg.CheckPercent("jitter", *c.Jitter, 0, 100); err != nil {
			return err
		}
	}
	for _, n := range c.counts() {
		if *n.value == 0 {
			continue
		}
		if err := cfg.CheckCount(n.name, *n.value); err != nil {
			return err
		}
	}
	switch c.Initial {
	case "", Healthy.String(), Checking.String():
	default:
		return fmt.Errorf("initial: '%s' is neither healthy nor checking", c.Initial)
	}
	if c.Port != 0 {
		if err := cfg.CheckRange("port", c.Port, 1, maxPort); err != nil {
			return err
		}
	}
	if strings.ContainsAny(c.Host, "/?#@ \t\r\n") {
		return fmt.Errorf("host: '%s' is not a host with or without a port", c.Host)
	}
	if c.OnResponse != nil {
		return c.OnResponse.validate()
	}
	return nil
}

// setDefaults sets what is unset.
func (c *Check) setDefaults() {
	c.Interval = cmp.Or(c.Interval, caddy.Duration(defaultInterval))
	c.Timeout = cmp.Or(c.Timeout, min(caddy.Duration(defaultTimeout), c.Interval))
	c.TransitionInterval = cmp.Or(c.TransitionInterval, c.Interval)
	c.DownInterval = cmp.Or(c.DownInterval, c.Interval)
	if c.Jitter == nil {
		c.Jitter = new(float64)
		*c.Jitter = defaultJitter
	}
	c.Passes = cmp.Or(c.Passes, defaultPasses)
	c.Fails = cmp.Or(c.Fails, defaultFails)
	c.Initial = cmp.Or(c.Initial, Healthy.String())
	if c.OnResponse != nil {
		c.OnResponse.setDefaults()
	}
}
