package healthcheck

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
)

// nonEmpty parses the option's only argument. It must not be empty: in JSON, an
// empty option is unset.
func nonEmpty(d *caddyfile.Dispenser) (string, error) {
	option := d.Val()
	arg, err := cfg.Arg(d)
	if err == nil && arg == "" {
		err = d.Errf("%s: empty", option)
	}
	return arg, err
}

// addPair parses the option's two arguments, a key and its value, into the map. The
// same key twice is an error; keys are the same if their canonical forms are.
func addPair(d *caddyfile.Dispenser, m *map[string]string, canonical func(string) string) error {
	option := d.Val()
	pair, err := cfg.Args(d, 2, 2)
	if err != nil {
		return err
	}
	key := canonical(pair[0])
	if _, ok := (*m)[key]; ok {
		return d.Errf("%s: duplicate '%s'", option, pair[0])
	}
	if *m == nil {
		*m = make(map[string]string)
	}
	(*m)[key] = pair[1]
	return nil
}
