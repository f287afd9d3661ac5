package outlier

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
)

func init() {
	cfg.Options("outlier_detection", "", "consecutive_5xx", "consecutive_gateway_failures", "consecutive_local_origin_failures",
		"success_rate_stdev_factor", "failure_percentage_threshold", "minimum_hosts", "request_volume", "interval",
		"base_ejection_time", "max_ejection_time", "ejection_jitter", "max_ejection_percent", "status")
}

// UnmarshalCaddyfile parses the option at the cursor. Syntax:
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
func (o *Options) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
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
		if err := o.unmarshal(d); err != nil {
			return err
		}
	}
	return nil
}

// unmarshal parses the option of the block that is at the cursor.
func (o *Options) unmarshal(d *caddyfile.Dispenser) (err error) {
	name := d.Val()
	if option, ok := integers[name]; ok {
		n, err := cfg.Int(d, option.least, maxCount)
		*option.value(o) = &n
		return err
	}
	if option, ok := numbers[name]; ok {
		parse := cfg.Float
		if option.percent {
			parse = cfg.Percent
		}
		n, err := parse(d, 0, option.most)
		*option.value(o) = &n
		return err
	}
	if option, ok := durations[name]; ok {
		if option.least > 0 {
			*option.value(o), err = cfg.DurationFrom(d, option.least)
		} else {
			*option.value(o), err = cfg.Duration(d)
		}
		return err
	}
	if name != "status" {
		return cfg.Unknown(d, "outlier_detection")
	}
	if o.Status, err = cfg.Args(d, 1, -1); err != nil {
		return err
	}
	if _, err := cfg.ParseStatuses(o.Status); err != nil {
		return d.Errf("status: %v", err)
	}
	return nil
}
