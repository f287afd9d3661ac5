package pool

import (
	"fmt"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
)

// Queue lets requests wait their turn, first in, first out among those that wait
// for the same upstreams, while every upstream that may be picked is full: has as many requests in flight as max_requests,
// Caddy's unhealthy_request_count, or its agent, lets it have. Who finds the queue full,
// or waits in vain, gets a 503 with Retry-After.
type Queue struct {
	// How many requests may wait.
	Length int `json:"length,omitempty"`

	// How long one may wait. Default: 60s.
	Timeout caddy.Duration `json:"timeout,omitempty"`
}

const (
	maxQueue            = 1_000_000
	defaultQueueTimeout = time.Minute
)

// unmarshal parses the option at the cursor. Syntax:
//
//	queue <length> [<timeout>]
func (q *Queue) unmarshal(d *caddyfile.Dispenser) error {
	args, err := cfg.Args(d, 1, 2)
	if err != nil {
		return err
	}
	if q.Length, err = strconv.Atoi(args[0]); err != nil {
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
		q.Timeout = caddy.Duration(timeout)
	}
	if err := q.provision(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

func (q *Queue) provision() error {
	if q.Length < 1 || q.Length > maxQueue {
		return fmt.Errorf("queue: %d is not between 1 and %d", q.Length, maxQueue)
	}
	if q.Timeout < 0 || q.Timeout > caddy.Duration(cfg.MaxDuration) {
		return fmt.Errorf("queue: %s is not above zero and below ten years", time.Duration(q.Timeout))
	}
	if q.Timeout == 0 {
		q.Timeout = caddy.Duration(defaultQueueTimeout)
	}
	return nil
}
