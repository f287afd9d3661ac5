package pool

import (
	"fmt"
	"strconv"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
)

// assigned is the numbers that an option assigns to upstreams. It names them by
// address as configured or as dialled, by host or by CIDR range; the most specific
// match counts.
type assigned struct {
	option string
	min    int
	max    int
	set    cfg.Upstreams[int]
}

// assign assigns a number to an upstream as the configuration names it.
func (a *assigned) assign(upstream string, number int) error {
	if number < a.min || number > a.max {
		return fmt.Errorf("%s: %d of upstream '%s' is not between %d and %d", a.option, number, upstream, a.min, a.max)
	}
	matches, err := cfg.ParseUpstream(upstream)
	if err != nil {
		return fmt.Errorf("%s: %v", a.option, err)
	}
	for _, m := range matches {
		if !a.set.Set(m, number) {
			return fmt.Errorf("%s: duplicate upstream '%s'", a.option, m)
		}
	}
	return nil
}

// unmarshal parses the option at the cursor: a number, then the upstreams that it is
// assigned to. The JSON form goes to numbers.
func (a *assigned) unmarshal(d *caddyfile.Dispenser, numbers *map[string]int) error {
	args, err := cfg.Args(d, 1, -1)
	if err != nil {
		return err
	}
	number, err := strconv.Atoi(args[0])
	if err != nil {
		err := cfg.NotAnInteger(a.option, args[0])
		if _, e := cfg.ParseUpstream(args[0]); e == nil && len(args) > 1 && isInteger(args[len(args)-1]) {
			err = fmt.Errorf("%v; the number comes first, then the upstreams", err)
		}
		return d.WrapErr(err)
	}
	if len(args) == 1 {
		return d.Errf("%s: missing upstream; the number comes first, then the upstreams", a.option)
	}
	if *numbers == nil {
		*numbers = make(map[string]int)
	}
	for _, upstream := range args[1:] {
		if err := a.assign(upstream, number); err != nil {
			return d.WrapErr(err)
		}
		(*numbers)[upstream] = number
	}
	return nil
}

func isInteger(text string) bool {
	_, err := strconv.Atoi(text)
	return err == nil
}

// unmarshalList parses the upstreams that the option at the cursor names, and assigns
// 0 to each. The JSON form goes to names.
func (a *assigned) unmarshalList(d *caddyfile.Dispenser, names *[]string) error {
	args, err := cfg.Args(d, 1, -1)
	if err != nil {
		return err
	}
	for _, upstream := range args {
		if err := a.assign(upstream, 0); err != nil {
			return d.WrapErr(err)
		}
	}
	*names = append(*names, args...)
	return nil
}

// provisionList takes the JSON form of an option that only names upstreams.
func (a *assigned) provisionList(names []string) error {
	a.set = cfg.Upstreams[int]{}
	for _, upstream := range names {
		if err := a.assign(upstream, 0); err != nil {
			return err
		}
	}
	return nil
}

// provision takes the JSON form, which need not have come from a Caddyfile.
func (a *assigned) provision(numbers map[string]int) error {
	a.set = cfg.Upstreams[int]{}
	for upstream, number := range numbers {
		if err := a.assign(upstream, number); err != nil {
			return err
		}
	}
	return nil
}

// get returns the number of the upstream at the given dial address; the default if it
// has none.
func (a *assigned) get(address string, byDefault int) int {
	if number, ok := a.set.Get(address); ok {
		return number
	}
	return byDefault
}

// has reports whether the option names the upstream at the given dial address.
func (a *assigned) has(address string) bool {
	_, ok := a.set.Get(address)
	return ok
}

// checkStatic returns an error if the option names something that matches none of the
// upstreams.
func (a *assigned) checkStatic(addresses []string) error {
	used := make(map[cfg.Match]bool)
	for _, address := range addresses {
		for _, m := range a.set.All(address) {
			used[m] = true
		}
	}
	for _, m := range a.set.Matches() {
		if !used[m] {
			return fmt.Errorf("%s: %v", a.option, cfg.NoUpstream(m.String(), addresses))
		}
	}
	return nil
}
