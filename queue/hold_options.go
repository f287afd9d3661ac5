package queue

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
)

// HoldOptions let requests wait while no upstream may be picked because all are
// down. They wait in the order of their arrival, until an upstream is back, or so
// long has passed since the last one was lost.
type HoldOptions struct {
	// Let no request wait. Default: false.
	Off bool `json:"off,omitempty"`

	// How long an outage may last before requests fail. At most 1h. Default: 3s.
	Duration caddy.Duration `json:"duration,omitempty"`

	// How many requests may wait. Default: 5000.
	Requests int `json:"requests,omitempty"`
}

const (
	maxHold     = time.Hour
	defaultHold = 3 * time.Second
	maxHeld     = 1_000_000
	defaultHeld = 5000
)

// UnmarshalCaddyfile parses the option at the cursor. Syntax:
//
//	hold <duration> [<requests>]
//	hold off
func (o *HoldOptions) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	args, err := cfg.Args(d, 1, 2)
	if err != nil {
		return err
	}
	if args[0] == "off" {
		if o.Off = true; len(args) > 1 {
			return d.Errf("hold off: unexpected argument '%s'", args[1])
		}
		return nil
	}
	duration, err := caddy.ParseDuration(args[0])
	if err != nil {
		return d.WrapErr(cfg.NotADuration("hold", args[0]))
	}
	requests := defaultHeld
	if len(args) == 2 {
		if requests, err = strconv.Atoi(args[1]); err != nil {
			return d.WrapErr(cfg.NotAnInteger("hold", args[1]))
		}
		o.Requests = requests
	}
	o.Duration = caddy.Duration(duration)
	if err := checkHold(duration, requests); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// WithDefaults checks the options, and returns them with their defaults; nil where
// no request may wait. Nil options are those of a policy that names none.
func (o *HoldOptions) WithDefaults() (*HoldOptions, error) {
	var full HoldOptions
	if o != nil {
		full = *o
	}
	if full.Off {
		if full != (HoldOptions{Off: true}) {
			return nil, errors.New("hold: off and other options exclude each other")
		}
		return nil, nil
	}
	full.Duration = cmp.Or(full.Duration, caddy.Duration(defaultHold))
	full.Requests = cmp.Or(full.Requests, defaultHeld)
	return &full, checkHold(time.Duration(full.Duration), full.Requests)
}

// checkHold returns an error if one of the options is out of range.
func checkHold(duration time.Duration, requests int) error {
	if duration <= 0 || duration > maxHold {
		return fmt.Errorf("hold: %s is not above zero and at most 1h; hold off lets no request wait", duration)
	}
	if err := cfg.CheckRange("hold", requests, 1, maxHeld); err != nil {
		return fmt.Errorf("%v: it is how many requests may wait", err)
	}
	return nil
}
