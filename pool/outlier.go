package pool

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
)

// OutlierDetection watches what becomes of requests, and ejects upstreams that
// fail them: they get nothing for a while, then one request at a time until one
// succeeds. Each rule is off at 0. Without this option, only the rule on
// consecutive local-origin failures is on.
//
// The rules, their names and their defaults are those of Envoy and of gRFC A50.
type OutlierDetection struct {
	// No rule is on.
	Off bool `json:"off,omitempty"`

	// Answers in a row with a status of the status list that eject. Default: 5.
	Consecutive5xx *int `json:"consecutive_5xx,omitempty"`

	// Answers in a row with status 502, 503 or 504 that eject. Default: 5.
	ConsecutiveGatewayFailures *int `json:"consecutive_gateway_failures,omitempty"`

	// Attempts in a row that eject because they got no answer: the dial
	// failed, the connection was reset, a timeout of the transport has passed.
	// Default: 5.
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

	// How often the rules on shares are applied; also, after how much time
	// without an ejection the next one lasts one base time less. At least 50ms.
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
	// may be in any case. Does not hold for local-origin failures. The last
	// upstream that may be picked is never ejected. Default: 10.
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
	defaultOutlierInterval   = 10 * time.Second
	defaultBaseEjection      = 30 * time.Second
	defaultMaxEjection       = 300 * time.Second
	defaultEjectionPercent   = 10
	defaultFailures          = "5xx"

	maxCount      = 1 << 30
	maxDeviations = 1000
)

// rules are the options with their defaults.
type rules struct {
	Failures, Gateway, Local    int // in a row; 0 for off
	Deviations, Percentage      float64
	Hosts, Volume               int
	Interval, Base, Max, Jitter time.Duration
	Percent                     float64 // that may be ejected
	Status                      []string

	statuses cfg.Statuses
	key      string // equal for configurations that share their ejections
}

// byShare reports whether one of the rules on shares is on.
func (r *rules) byShare() bool { return r.Deviations > 0 || r.Percentage > 0 }

// rules returns nil where outlier detection is off.
func (o *OutlierDetection) rules() (*rules, error) {
	named := o != nil
	if !named {
		o = new(OutlierDetection)
	}
	if o.Off {
		if !reflect.DeepEqual(o, &OutlierDetection{Off: true}) {
			return nil, errors.New("outlier_detection: off and other options exclude each other")
		}
		return nil, nil
	}
	r := &rules{Status: o.Status}
	var err error
	number := func(option string, value *int, byDefault, least int) int {
		switch {
		case value == nil:
			return byDefault
		case *value < least || *value > maxCount:
			err = fmt.Errorf("outlier_detection: %s: %d is not between %d and %d", option, *value, least, maxCount)
		}
		return *value
	}
	float := func(option string, value *float64, byDefault, most float64) float64 {
		switch {
		case value == nil:
			return byDefault
		case !(*value >= 0 && *value <= most):
			err = fmt.Errorf("outlier_detection: %s: %v is not between 0 and %v", option, *value, most)
		}
		return *value
	}
	duration := func(option string, value caddy.Duration, byDefault, least time.Duration) time.Duration {
		if e := cfg.CheckDuration(option, value, least); e != nil {
			err = fmt.Errorf("outlier_detection: %v", e)
		}
		return cmp.Or(time.Duration(value), byDefault)
	}
	unlessNamed := 0
	if named {
		unlessNamed = 1
	}
	r.Local = number("consecutive_local_origin_failures", o.ConsecutiveLocalOriginFailures, defaultConsecutive, 0)
	r.Failures = number("consecutive_5xx", o.Consecutive5xx, unlessNamed*defaultConsecutive, 0)
	r.Gateway = number("consecutive_gateway_failures", o.ConsecutiveGatewayFailures, unlessNamed*defaultConsecutive, 0)
	r.Deviations = float("success_rate_stdev_factor", o.SuccessRateStdevFactor, float64(unlessNamed)*defaultDeviations, maxDeviations)
	r.Percentage = float("failure_percentage_threshold", o.FailurePercentageThreshold, float64(unlessNamed)*defaultFailurePercentage, 100)
	r.Hosts = number("minimum_hosts", o.MinimumHosts, defaultMinimumHosts, 1)
	r.Volume = number("request_volume", o.RequestVolume, defaultRequestVolume, 1)
	r.Interval = duration("interval", o.Interval, defaultOutlierInterval, cfg.MinInterval)
	r.Base = duration("base_ejection_time", o.BaseEjectionTime, defaultBaseEjection, 0)
	r.Max = duration("max_ejection_time", o.MaxEjectionTime, defaultMaxEjection, 0)
	r.Jitter = duration("ejection_jitter", o.EjectionJitter, 0, 0)
	r.Percent = float("max_ejection_percent", o.MaxEjectionPercent, defaultEjectionPercent, 100)
	if len(r.Status) == 0 {
		r.Status = []string{defaultFailures}
	}
	if err != nil {
		return nil, err
	}
	if r.statuses, err = cfg.ParseStatuses(r.Status); err != nil {
		return nil, fmt.Errorf("outlier_detection: status: %v", err)
	}
	key, err := json.Marshal(r)
	r.key = string(key)
	return r, err
}

func init() {
	cfg.Options("outlier_detection", "", "consecutive_5xx", "consecutive_gateway_failures", "consecutive_local_origin_failures",
		"success_rate_stdev_factor", "failure_percentage_threshold", "minimum_hosts", "request_volume", "interval",
		"base_ejection_time", "max_ejection_time", "ejection_jitter", "max_ejection_percent", "status")
}

// unmarshal parses the option at the cursor. Syntax:
//
//	outlier_detection [off] {
//		consecutive_5xx                   <answers>
//		consecutive_gateway_failures      <answers>
//		consecutive_local_origin_failures <attempts>
//		success_rate_stdev_factor         <factor>
//		failure_percentage_threshold      <percent>
//		minimum_hosts                     <upstreams>
//		request_volume                    <requests>
//		interval                          <duration>
//		base_ejection_time                <duration>
//		max_ejection_time                 <duration>
//		ejection_jitter                   <duration>
//		max_ejection_percent              <percent>
//		status                            <status...>
//	}
func (o *OutlierDetection) unmarshal(d *caddyfile.Dispenser) (err error) {
	if d.NextArg() {
		if d.Val() != "off" {
			return d.Errf("outlier_detection: unexpected argument '%s'", d.Val())
		}
		o.Off = true
		if d.NextArg() {
			return d.Errf("outlier_detection: unexpected argument '%s'", d.Val())
		}
		return cfg.NoBlock(d, "outlier_detection off")
	}
	seen := make(cfg.Seen)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := seen.Once(d); err != nil {
			return err
		}
		option := d.Val()
		number := map[string]**int{
			"consecutive_5xx":                   &o.Consecutive5xx,
			"consecutive_gateway_failures":      &o.ConsecutiveGatewayFailures,
			"consecutive_local_origin_failures": &o.ConsecutiveLocalOriginFailures,
			"minimum_hosts":                     &o.MinimumHosts,
			"request_volume":                    &o.RequestVolume,
		}[option]
		percent := map[string]**float64{
			"failure_percentage_threshold": &o.FailurePercentageThreshold,
			"max_ejection_percent":         &o.MaxEjectionPercent,
		}[option]
		duration := map[string]*caddy.Duration{
			"base_ejection_time": &o.BaseEjectionTime,
			"max_ejection_time":  &o.MaxEjectionTime,
			"ejection_jitter":    &o.EjectionJitter,
		}[option]
		switch {
		case number != nil:
			least := 0
			if option == "minimum_hosts" || option == "request_volume" {
				least = 1
			}
			*number = new(int)
			**number, err = cfg.Int(d, least, maxCount)
		case percent != nil:
			*percent = new(float64)
			**percent, err = cfg.Percent(d, 0, 100)
		case option == "interval":
			o.Interval, err = cfg.DurationFrom(d, cfg.MinInterval)
		case duration != nil:
			*duration, err = cfg.Duration(d)
		case option == "success_rate_stdev_factor":
			o.SuccessRateStdevFactor = new(float64)
			*o.SuccessRateStdevFactor, err = cfg.Float(d, 0, maxDeviations)
		case option == "status":
			o.Status, err = cfg.Args(d, 1, -1)
			if err == nil {
				if _, e := cfg.ParseStatuses(o.Status); e != nil {
					err = d.Errf("status: %v", e)
				}
			}
		default:
			err = cfg.Unknown(d, "outlier_detection")
		}
		if err != nil {
			return err
		}
	}
	return nil
}
