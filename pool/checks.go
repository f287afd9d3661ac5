package pool

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
)

func (o *Options) unmarshalCheck(d *caddyfile.Dispenser) error {
	check := new(healthcheck.Check)
	if err := check.UnmarshalCaddyfile(d); err != nil {
		return err
	}
	for _, other := range o.HealthChecks {
		if check.Name != "" && check.Name == other.Name {
			return check.DuplicateName()
		}
	}
	o.HealthChecks = append(o.HealthChecks, check)
	return nil
}

// nameChecks gives a name to each check that has none.
func (o *Options) nameChecks() error {
	names := make(map[string]bool)
	for _, c := range o.HealthChecks {
		if c == nil {
			return errors.New("health_check: an entry of health_checks is empty")
		}
		if c.Name != "" && names[c.Name] {
			return fmt.Errorf("health_check: duplicate name '%s'", c.Name)
		}
		names[c.Name] = true
	}
	for _, c := range o.HealthChecks {
		if c.Name != "" {
			continue
		}
		kind := c.Kind()
		c.Name = kind
		for n := 2; names[c.Name]; n++ {
			c.Name = kind + " " + strconv.Itoa(n)
		}
		names[c.Name] = true
	}
	return nil
}
