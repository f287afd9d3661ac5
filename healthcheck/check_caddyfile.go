package healthcheck

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
)

func init() {
	cfg.Options("health_check", "", "interval", "transition_interval", "down_interval", "timeout", "jitter", "passes", "fails",
		"initial", "port", "host", "name", "on_response")
}

// UnmarshalCaddyfile sets up the check from Caddyfile tokens. Syntax:
//
//	health_check <checker> [<args...>] {
//		interval            <duration>
//		transition_interval <duration>
//		down_interval       <duration>
//		timeout             <duration>
//		jitter              <percent>
//		passes              <results>
//		fails               <results>
//		initial             healthy|checking
//		port                <port>
//		host                <host>
//		name                <name>
//		on_response         { ... }
//		# and the checker's own options
//	}
func (c *Check) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	if !d.NextArg() {
		return d.Errf("health_check: missing checker; %s", cfg.There(checkers()))
	}
	name := d.Val()
	if err := known(name); err != nil {
		return d.WrapErr(err)
	}
	segment := d.NextSegment()
	d = caddyfile.NewDispenser(segment)
	d.Next() // consume the checker's name
	head := 1 + len(d.RemainingArgs())

	// The checker gets its arguments, and its own options in the same braces.
	own := append([]caddyfile.Token(nil), segment[:head]...)
	hasBlock := head < len(segment)
	if hasBlock {
		own = append(own, segment[head])
	}
	seen := make(cfg.Seen)
	for d.NextBlock(0) {
		common, err := c.unmarshalCommon(d, seen)
		if err != nil {
			return err
		}
		if !common {
			own = append(own, d.NextSegment()...)
		}
	}
	if hasBlock {
		own = append(own, segment[len(segment)-1])
	}
	tokens := caddyfile.NewDispenser(own)
	tokens.Next()
	checker, err := caddyfile.UnmarshalModule(tokens, Namespace+"."+name)
	if err != nil {
		return err
	}
	if _, ok := checker.(Checker); !ok {
		return tokens.Errf("health_check: the module '%s' cannot check", name)
	}
	if owner, ok := checker.(PortOwner); ok && owner.OwnPort() != 0 && c.Port != 0 {
		return cfg.ErrAt(c.portAt, "port: %s has a port of its own", name)
	}
	c.CheckerRaw = caddyconfig.JSONModuleObject(checker, "type", name, nil)
	return nil
}

// checkers returns the names of all checkers.
func checkers() []string {
	var names []string
	for _, m := range caddy.GetModules(Namespace) {
		names = append(names, m.ID.Name())
	}
	return names
}

// known returns an error if there is no checker of that name.
func known(name string) error {
	names := checkers()
	switch {
	case slices.Contains(names, name):
		return nil
	case strings.HasPrefix(name, "/"):
		return fmt.Errorf("health_check: missing checker before '%s'; %s", name, cfg.There(names))
	}
	return fmt.Errorf("health_check: no checker is '%s'; %s%s", name, cfg.There(names), cfg.Meant(name, names))
}

// unmarshalCommon parses the option at the cursor, if it is one that all
// checks have.
func (c *Check) unmarshalCommon(d *caddyfile.Dispenser, seen cfg.Seen) (common bool, err error) {
	parse := c.parserOf(d.Val())
	if parse == nil {
		return false, nil
	}
	if err := seen.Once(d); err != nil {
		return true, err
	}
	if err := parse(d); err != nil {
		return true, err
	}
	if err := c.validate(); err != nil {
		return true, d.WrapErr(err)
	}
	return true, nil
}

// parserOf returns what parses an option that all checks have; nil for another.
func (c *Check) parserOf(option string) func(*caddyfile.Dispenser) error {
	for _, o := range c.durations() {
		if o.name == option {
			return func(d *caddyfile.Dispenser) (err error) {
				*o.value, err = cfg.DurationFrom(d, o.least)
				return err
			}
		}
	}
	for _, o := range c.counts() {
		if o.name == option {
			return func(d *caddyfile.Dispenser) (err error) {
				*o.value, err = cfg.Int(d, 1, cfg.MaxCount)
				return err
			}
		}
	}
	switch option {
	case "jitter":
		return func(d *caddyfile.Dispenser) (err error) {
			c.Jitter = new(float64)
			*c.Jitter, err = cfg.Percent(d, 0, 100)
			return err
		}
	case "initial":
		return func(d *caddyfile.Dispenser) (err error) {
			c.Initial, err = nonEmpty(d)
			return err
		}
	case "host":
		return func(d *caddyfile.Dispenser) (err error) {
			c.Host, err = nonEmpty(d)
			return err
		}
	case "name":
		return func(d *caddyfile.Dispenser) (err error) {
			c.Name, err = nonEmpty(d)
			c.nameAt = d.Token()
			return err
		}
	case "port":
		return func(d *caddyfile.Dispenser) (err error) {
			c.portAt = d.Token()
			c.Port, err = cfg.Int(d, 1, maxPort)
			return err
		}
	case "on_response":
		return func(d *caddyfile.Dispenser) error {
			c.OnResponse = new(OnResponse)
			return c.OnResponse.UnmarshalCaddyfile(d.NewFromNextSegment())
		}
	}
	return nil
}

// Interface guard
var _ caddyfile.Unmarshaler = (*Check)(nil)
