// Package pool knows who may be picked. It holds what all policies have in
// common: their options, the weights and verdicts of upstreams, what a request
// has tried already, and the transport that observes every attempt.
package pool

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
)

// Options are those that every policy has.
type Options struct {
	// Weights of upstreams, by address as configured or as dialled, by host
	// or by CIDR range; the most specific match counts. An upstream of weight
	// 0 gets no new traffic. Default: 1.
	Weights map[string]int `json:"weights,omitempty"`

	// How often a failed request is tried on another upstream. What may be
	// retried is for Caddy to say: a failed dial always, other failures for
	// GET or where lb_retry_match says so. 0 turns retries off. Default: 2,
	// where the handler sets neither retries nor try_duration.
	Retries *int `json:"retries,omitempty"`

	// Let a retry go to an upstream that this request has already tried,
	// although others are left. Default: false.
	RetrySame bool `json:"retry_same,omitempty"`

	// Percentage of healthy upstreams below which verdicts are ignored, so
	// that the load of all does not fall on the last few. 0: verdicts are
	// never ignored. Default: they are ignored where no upstream is left.
	PanicThreshold *float64 `json:"panic_threshold,omitempty"`

	// Active health checks, all of which an upstream must pass.
	HealthChecks []*healthcheck.Check `json:"health_checks,omitempty"`

	seen       cfg.Seen         // options met while parsing a Caddyfile
	first      *caddyfile.Token // the first of them
	unweighted bool
	set        cfg.Upstreams[int]
}

// Unweighted makes weights other than 0 an error, since the policy knows none.
func (o *Options) Unweighted() { o.unweighted = true }

// CommonOption is the error for the first of these options that a Caddyfile has
// set, where a policy inside another one of ours may set none; nil if there is
// none.
func (o *Options) CommonOption() error {
	if o.first == nil {
		return nil
	}
	return cfg.ErrAt(*o.first, "%s: %s", o.first.Text, outersBusiness)
}

const outersBusiness = "options that every policy has belong to the outer policy"

// maxWeight bounds weights, and maxRetries retries.
const (
	maxWeight  = math.MaxInt32
	maxRetries = 1000
)

// UnmarshalOption parses the option at the cursor, if it is one that every
// policy has. Syntax:
//
//	weight          <n> <upstream...>
//	retries         <n>
//	retry_same
//	panic_threshold <percent>
//	health_check    <checker> [<args...>] { ... }
func (o *Options) UnmarshalOption(d *caddyfile.Dispenser) (common bool, err error) {
	if o.seen == nil {
		o.seen = make(cfg.Seen)
	}
	option := d.Token()
	switch option.Text {
	case "weight", "health_check":
	case "retries", "retry_same", "panic_threshold":
		if err := o.seen.Once(d); err != nil {
			return true, err
		}
	default:
		return false, nil
	}
	if o.first == nil {
		o.first = &option
	}
	switch option.Text {
	case "weight":
		err = o.unmarshalWeight(d)
	case "health_check":
		err = o.unmarshalCheck(d)
	case "retries":
		o.Retries = new(int)
		*o.Retries, err = cfg.Int(d, 0, maxRetries)
	case "retry_same":
		o.RetrySame = true
		err = cfg.Flag(d)
	case "panic_threshold":
		o.PanicThreshold = new(float64)
		*o.PanicThreshold, err = cfg.Percent(d, 0, 100)
	}
	return true, err
}

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

func (o *Options) unmarshalWeight(d *caddyfile.Dispenser) error {
	args, err := cfg.Args(d, 2, -1)
	if err != nil {
		return err
	}
	weight, err := strconv.Atoi(args[0])
	if err != nil {
		return d.Errf("weight: '%s' is not an integer", args[0])
	}
	if o.Weights == nil {
		o.Weights = make(map[string]int)
	}
	for _, upstream := range args[1:] {
		if err := o.setWeight(upstream, weight); err != nil {
			return d.WrapErr(err)
		}
		o.Weights[upstream] = weight
	}
	return nil
}

func (o *Options) setWeight(upstream string, weight int) error {
	if weight < 0 || weight > maxWeight {
		return fmt.Errorf("weight: %d of upstream '%s' is not between 0 and %d", weight, upstream, maxWeight)
	}
	if o.unweighted && weight != 0 {
		return fmt.Errorf("weight: %d of upstream '%s': managed takes only 0, since its inner policy knows no weights", weight, upstream)
	}
	matches, err := cfg.ParseUpstream(upstream)
	if err != nil {
		return fmt.Errorf("weight: %v", err)
	}
	for _, m := range matches {
		if !o.set.Set(m, weight) {
			return fmt.Errorf("weight: duplicate upstream '%s'", m)
		}
	}
	return nil
}

// provision checks the options, which may not have come from a Caddyfile.
func (o *Options) provision() error {
	o.set = cfg.Upstreams[int]{}
	for upstream, weight := range o.Weights {
		if err := o.setWeight(upstream, weight); err != nil {
			return err
		}
	}
	if o.Retries != nil && (*o.Retries < 0 || *o.Retries > maxRetries) {
		return fmt.Errorf("retries: %d is not between 0 and %d", *o.Retries, maxRetries)
	}
	if p := o.PanicThreshold; p != nil && !(*p >= 0 && *p <= 100) {
		return fmt.Errorf("panic_threshold: %v%% is not between 0%% and 100%%", *p)
	}
	return o.nameChecks()
}

// nameChecks gives a name to each check that has none.
func (o *Options) nameChecks() error {
	names := make(map[string]bool)
	for _, c := range o.HealthChecks {
		if c == nil {
			return errors.New("health_check: no checker")
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

// weight returns the weight of the upstream at the given dial address.
func (o *Options) weight(address string) uint32 {
	if weight, ok := o.set.Get(address); ok {
		return uint32(weight)
	}
	return 1
}

// checkStatic returns an error if a weight matches no upstream, or if no
// upstream has any.
func (o *Options) checkStatic(addresses []string) error {
	used := make(map[cfg.Match]bool)
	total := uint64(0)
	for _, address := range addresses {
		total += uint64(o.weight(address))
		for _, m := range o.set.All(address) {
			used[m] = true
		}
	}
	for _, m := range o.set.Matches() {
		if !used[m] {
			return fmt.Errorf("weight: no upstream is '%s'", m)
		}
	}
	if total == 0 && len(addresses) > 0 {
		return fmt.Errorf("weight: all upstreams have weight 0")
	}
	return nil
}

// common returns the name of one of the options that is set; empty if none is.
func (o *Options) common() string {
	switch {
	case o.Weights != nil:
		return "weight"
	case o.Retries != nil:
		return "retries"
	case o.RetrySame:
		return "retry_same"
	case o.PanicThreshold != nil:
		return "panic_threshold"
	case o.HealthChecks != nil:
		return "health_check"
	}
	return ""
}
