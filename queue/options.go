package queue

import (
	"fmt"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
)

// Options let requests wait while every upstream that may be picked is full. An
// upstream is full when it has as many requests in flight as max_requests, Caddy's
// unhealthy_request_count or its agent allows. Requests that wait for the same
// upstreams go in the order in which they came. A request that finds the queue full,
// or waits in vain, gets a 503 with Retry-After.
type Options struct {
	// How many requests may wait.
	Length int `json:"length,omitempty"`

	// How long a request may wait. Default: 60s.
	Timeout caddy.Duration `json:"timeout,omitempty"`
}

const (
	maxLength      = 1_000_000
	defaultTimeout = time.Minute
)

// UnmarshalCaddyfile parses the option at the cursor. Syntax:
//
//	queue <length> [<timeout>]
func (o *Options) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	args, err := cfg.Args(d, 1, 2)
	if err != nil {
		return err
	}
	if o.Length, err = strconv.Atoi(args[0]); err != nil {
		err := cfg.NotAnInteger("queue", args[0])
		if _, e := caddy.ParseDuration(args[0]); e == nil {
			err = fmt.Errorf("%v; the length comes first, then the timeout", err)
		}
		return d.WrapErr(err)
	}
	if len(args) == 2 {
		timeout, err := caddy.ParseDuration(args[1])
		if err != nil {
			return d.WrapErr(cfg.NotADuration("queue", args[1]))
		}
		if timeout == 0 {
			return d.Err("queue: a timeout of 0s is not above zero")
		}
		o.Timeout = caddy.Duration(timeout)
	}
	if err := o.Provision(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// Provision sets defaults, and rejects what is out of range.
func (o *Options) Provision() error {
	if o.Length < 1 || o.Length > maxLength {
		return fmt.Errorf("queue: %d is not between 1 and %d", o.Length, maxLength)
	}
	if o.Timeout < 0 || o.Timeout > caddy.Duration(cfg.MaxDuration) {
		return fmt.Errorf("queue: %s is not above zero and below ten years", time.Duration(o.Timeout))
	}
	if o.Timeout == 0 {
		o.Timeout = caddy.Duration(defaultTimeout)
	}
	return nil
}
