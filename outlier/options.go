// Package outlier ejects upstreams on which requests fail. It takes a report of each
// attempt. It is pure: time is an argument, and pools subscribe to changes with a
// function.
package outlier

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
)

// Options say which upstreams are ejected because requests to them fail. An
// ejected upstream gets nothing for a while, then one request at a time until one
// succeeds. Each rule is off at 0. Without this option, only the rule on
// consecutive local-origin failures is on.
//
// The rules, their names and their defaults are those of Envoy and of gRFC A50.
type Options struct {
	// No rule is on.
	Off bool `json:"off,omitempty"`

	// Answers in a row with a status of the status list that eject. Default: 5.
	Consecutive5xx *int `json:"consecutive_5xx,omitempty"`

	// Answers in a row with status 502, 503 or 504 that eject. Default: 5.
	ConsecutiveGatewayFailures *int `json:"consecutive_gateway_failures,omitempty"`

	// Attempts in a row without an answer that eject: the dial failed, the
	// connection was reset, or a timeout of the transport has passed. Default: 5.
	ConsecutiveLocalOriginFailures *int `json:"consecutive_local_origin_failures,omitempty"`

	// By how many standard deviations the share of successes in an interval
	// must fall below the mean of all upstreams to eject. Default: 1.9.
	SuccessRateStdevFactor *float64 `json:"success_rate_stdev_factor,omitempty"`

	// Share of failures in an interval, in percent, that ejects. Default: 85.
	FailurePercentageThreshold *float64 `json:"failure_percentage_threshold,omitempty"`

	// How many upstreams must have had enough requests in the interval for the
	// two rules on shares to apply. Default: 5.
	MinimumHosts *int `json:"minimum_hosts,omitempty"`

	// How many requests an upstream must have had in the interval for those
	// rules to look at it. Default: 100.
	RequestVolume *int `json:"request_volume,omitempty"`

	// How often the two rules on shares are applied. Also, for each interval
	// without an ejection, the next one lasts one base time less. At least 50ms.
	// Default: 10s.
	Interval caddy.Duration `json:"interval,omitempty"`

	// How long the first ejection lasts; the second in a row lasts twice as
	// long, and so on. Default: 30s.
	BaseEjectionTime caddy.Duration `json:"base_ejection_time,omitempty"`

	// How long an ejection lasts at most. Default: 300s.
	MaxEjectionTime caddy.Duration `json:"max_ejection_time,omitempty"`

	// How much longer an ejection may last, at random. Default: 0.
	EjectionJitter caddy.Duration `json:"ejection_jitter,omitempty"`

	// Share of the upstreams, in percent, that may be ejected at a time; one
	// may be in any case. It does not hold for failures that are proven: nothing
	// of the request was sent, or another upstream answered it. The last upstream
	// that may be picked is never ejected. Default: 10.
	MaxEjectionPercent *float64 `json:"max_ejection_percent,omitempty"`

	// Statuses that count as failures: codes, classes such as 5xx, and ranges
	// such as 500-599. Default: 5xx.
	Status []string `json:"status,omitempty"`
}

// Defaults of outlier detection.
const (
	defaultConsecutive       = 5
	defaultDeviations        = 1.9
	defaultFailurePercentage = 85
	defaultMinimumHosts      = 5
	defaultRequestVolume     = 100
	defaultInterval          = 10 * time.Second
	defaultBase              = 30 * time.Second
	defaultMax               = 300 * time.Second
	defaultEjectionPercent   = 10
	defaultStatus            = "5xx"

	maxCount      = 1 << 30
	maxDeviations = 1000
)

// A number among the options: its field in the options and in the rules, its default
// with (byDefault) and without (unnamed) outlier_detection, and its range.
type (
	integer struct {
		value              func(*Options) **int
		rule               func(*Rules) *int
		byDefault, unnamed int
		least              int
	}
	number struct {
		value              func(*Options) **float64
		rule               func(*Rules) *float64
		byDefault, unnamed float64
		most               float64
		percent            bool
	}
	duration struct {
		value     func(*Options) *caddy.Duration
		rule      func(*Rules) *time.Duration
		byDefault time.Duration
		least     time.Duration // 0 for above zero
	}
)

var integers = map[string]integer{
	"consecutive_5xx": {
		func(o *Options) **int { return &o.Consecutive5xx },
		func(r *Rules) *int { return &r.Failures }, defaultConsecutive, 0, 0,
	},
	"consecutive_gateway_failures": {
		func(o *Options) **int { return &o.ConsecutiveGatewayFailures },
		func(r *Rules) *int { return &r.Gateway }, defaultConsecutive, 0, 0,
	},
	"consecutive_local_origin_failures": {
		func(o *Options) **int { return &o.ConsecutiveLocalOriginFailures },
		func(r *Rules) *int { return &r.Local }, defaultConsecutive, defaultConsecutive, 0,
	},
	"minimum_hosts": {
		func(o *Options) **int { return &o.MinimumHosts },
		func(r *Rules) *int { return &r.Hosts }, defaultMinimumHosts, defaultMinimumHosts, 1,
	},
	"request_volume": {
		func(o *Options) **int { return &o.RequestVolume },
		func(r *Rules) *int { return &r.Volume }, defaultRequestVolume, defaultRequestVolume, 1,
	},
}

var numbers = map[string]number{
	"success_rate_stdev_factor": {
		func(o *Options) **float64 { return &o.SuccessRateStdevFactor },
		func(r *Rules) *float64 { return &r.Deviations }, defaultDeviations, 0, maxDeviations, false,
	},
	"failure_percentage_threshold": {
		func(o *Options) **float64 { return &o.FailurePercentageThreshold },
		func(r *Rules) *float64 { return &r.Percentage }, defaultFailurePercentage, 0, 100, true,
	},
	"max_ejection_percent": {
		func(o *Options) **float64 { return &o.MaxEjectionPercent },
		func(r *Rules) *float64 { return &r.Percent }, defaultEjectionPercent, defaultEjectionPercent, 100, true,
	},
}

var durations = map[string]duration{
	"interval": {
		func(o *Options) *caddy.Duration { return &o.Interval },
		func(r *Rules) *time.Duration { return &r.Interval }, defaultInterval, cfg.MinInterval,
	},
	"base_ejection_time": {
		func(o *Options) *caddy.Duration { return &o.BaseEjectionTime },
		func(r *Rules) *time.Duration { return &r.Base }, defaultBase, 0,
	},
	"max_ejection_time": {
		func(o *Options) *caddy.Duration { return &o.MaxEjectionTime },
		func(r *Rules) *time.Duration { return &r.Max }, defaultMax, 0,
	},
	"ejection_jitter": {
		func(o *Options) *caddy.Duration { return &o.EjectionJitter },
		func(r *Rules) *time.Duration { return &r.Jitter }, 0, 0,
	},
}

// Rules checks the options, and returns them with their defaults; nil where outlier
// detection is off. Nil options stand for a policy without the option.
func (o *Options) Rules() (*Rules, error) {
	named := o != nil
	if !named {
		o = new(Options)
	}
	if o.Off {
		if !reflect.DeepEqual(o, &Options{Off: true}) {
			return nil, errors.New("outlier_detection: off and other options exclude each other")
		}
		return nil, nil
	}
	r := &Rules{Status: o.Status}
	for name, option := range inOrder(integers) {
		value := option.unnamed
		if named {
			value = option.byDefault
		}
		if set := *option.value(o); set != nil {
			if value = *set; value < option.least || value > maxCount {
				return nil, fmt.Errorf("outlier_detection: %s: %d is not between %d and %d", name, value, option.least, maxCount)
			}
		}
		*option.rule(r) = value
	}
	for name, option := range inOrder(numbers) {
		value := option.unnamed
		if named {
			value = option.byDefault
		}
		if set := *option.value(o); set != nil {
			if value = *set; !(value >= 0 && value <= option.most) {
				return nil, fmt.Errorf("outlier_detection: %s: %v is not between 0 and %v", name, value, option.most)
			}
		}
		*option.rule(r) = value
	}
	for name, option := range inOrder(durations) {
		value := *option.value(o)
		if err := cfg.CheckDuration(name, value, option.least); err != nil {
			return nil, fmt.Errorf("outlier_detection: %v", err)
		}
		*option.rule(r) = cmp.Or(time.Duration(value), option.byDefault)
	}
	if len(r.Status) == 0 {
		r.Status = []string{defaultStatus}
	}
	var err error
	if r.statuses, err = cfg.ParseStatuses(r.Status); err != nil {
		return nil, fmt.Errorf("outlier_detection: status: %v", err)
	}
	key, err := json.Marshal(r)
	r.key = string(key)
	return r, err
}

// inOrder yields the options sorted by name. Of several errors, the same is then
// returned each time.
func inOrder[V any](options map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, name := range slices.Sorted(maps.Keys(options)) {
			if !yield(name, options[name]) {
				return
			}
		}
	}
}
