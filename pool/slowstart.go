package pool

import (
	"fmt"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-evenkeel/evenkeel/internal/balance"
	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
)

// SlowStart lets an upstream's weight grow when it begins to take traffic. The weight
// is multiplied by max(10 %, (age/window)^(1/aggression)). It does so when the upstream
// has recovered, was ejected or drained before, or has joined late, but not at the
// start of the process, when all upstreams are cold. Shares are relative: an upstream
// that is alone takes all traffic.
type SlowStart struct {
	// Time until the weight is full.
	Window caddy.Duration `json:"window,omitempty"`

	// 1: the weight grows evenly; above 1, fast at first; below 1, slowly at
	// first. Default: 1.
	Aggression float64 `json:"aggression,omitempty"`
}

const (
	minAggression = 0.01
	maxAggression = 100
)

// unmarshal parses the option at the cursor. Syntax:
//
//	slow_start <window> [<aggression>]
func (s *SlowStart) unmarshal(d *caddyfile.Dispenser) error {
	args, err := cfg.Args(d, 1, 2)
	if err != nil {
		return err
	}
	window, err := caddy.ParseDuration(args[0])
	if err != nil {
		return d.WrapErr(cfg.NotADuration("slow_start", args[0]))
	}
	s.Window, s.Aggression = caddy.Duration(window), 1
	if len(args) == 2 {
		if s.Aggression, err = strconv.ParseFloat(args[1], 64); err != nil {
			return d.WrapErr(cfg.NotANumber("slow_start", args[1]))
		}
	}
	if err := s.validate(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

func (s *SlowStart) provision() error {
	if s.Aggression == 0 {
		s.Aggression = 1
	}
	return s.validate()
}

func (s *SlowStart) validate() error {
	if s.Window <= 0 || s.Window > caddy.Duration(cfg.MaxDuration) {
		return fmt.Errorf("slow_start: %s is not above zero and below ten years", time.Duration(s.Window))
	}
	if !(s.Aggression >= minAggression && s.Aggression <= maxAggression) {
		return fmt.Errorf("slow_start: aggression %v is not between %v and %v", s.Aggression, minAggression, maxAggression)
	}
	return nil
}

// shortestStep is the least time between two steps of a slow start. The steps of a short
// window are larger.
const shortestStep = 20 * time.Millisecond

// percent returns the percentage of its weight that an upstream gets if it began to take
// traffic at the instant began, and the instant of its next change (0 for never).
// Percentages are whole numbers, rounded to the nearest.
func (s *SlowStart) percent(began, now int64) (percent int, next int64) {
	window := time.Duration(s.Window)
	age := time.Duration(now - began)
	if began == 0 || age >= window {
		return 100, 0
	}
	percent = int(100*balance.SlowStart(age, window, s.Aggression) + 0.5)
	at := balance.SlowStartAge(min((float64(percent)+0.5)/100, 1), window, s.Aggression)
	return percent, max(began+int64(at), now+int64(shortestStep))
}
