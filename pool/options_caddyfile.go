package pool

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
	"github.com/caddy-evenkeel/evenkeel/outlier"
	"github.com/caddy-evenkeel/evenkeel/queue"
)

func init() {
	cfg.Options("lb_policy", "", "name", "weight", "priority", "backup", "max_requests", "overprovisioning", "failback_delay", "panic_threshold",
		"slow_start", "retries", "retry_same", "retry_budget", "queue", "hold", "outlier_detection", "health_check")
}

// UnmarshalOption parses the option at the cursor, if it is one that every
// policy has. Syntax:
//
//	name              <name>
//	weight            <n> <upstream...>
//	priority          <level> <upstream...>
//	backup            <upstream...>
//	max_requests      <n> [<upstream...>]
//	overprovisioning  <factor>
//	failback_delay    <duration>
//	panic_threshold   <percent>
//	slow_start        <window> [<aggression>]
//	retries           <n>
//	retry_same
//	retry_budget      <percent> [<per second>] | off
//	queue             <length> [<timeout>]
//	hold              <duration> [<requests>] | off
//	outlier_detection [off] { ... }
//	health_check      <checker> [<args...>] { ... }
func UnmarshalOption(o *Options, d *caddyfile.Dispenser) (common bool, err error) {
	if o.seen == nil {
		o.seen = make(cfg.Seen)
		o.reset()
	}
	option := d.Token()
	switch option.Text {
	case "weight", "priority", "backup", "max_requests", "health_check":
	case "name", "overprovisioning", "failback_delay", "panic_threshold", "slow_start", "retries", "retry_same", "retry_budget",
		"queue", "hold", "outlier_detection":
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
	case "name":
		if o.Name, err = cfg.Arg(d); err == nil && o.Name == "" {
			err = d.Err("name: it is empty")
		}
		if err == nil {
			err = located(option, cfg.CheckName("name", o.Name))
		}
	case "weight":
		if err = o.weights.unmarshal(d, &o.Weights); err == nil {
			err = located(option, o.checkUnweighted())
		}
	case "priority":
		if err = o.levels.unmarshal(d, &o.Priorities); err == nil {
			err = located(option, o.checkBackups())
		}
	case "backup":
		if err = o.backups.unmarshalList(d, &o.Backups); err == nil {
			err = located(option, o.checkBackups())
		}
	case "max_requests":
		err = o.unmarshalLimit(d)
	case "health_check":
		err = o.unmarshalCheck(d)
	case "retries":
		o.Retries = new(int)
		*o.Retries, err = cfg.Int(d, 0, maxRetries)
	case "retry_same":
		o.RetrySame = true
		err = cfg.Flag(d)
	case "retry_budget":
		o.RetryBudget = new(RetryBudget)
		err = o.RetryBudget.unmarshal(d)
	case "panic_threshold":
		o.PanicThreshold = new(float64)
		*o.PanicThreshold, err = cfg.Percent(d, 0, 100)
	case "overprovisioning":
		o.Overprovisioning = new(float64)
		*o.Overprovisioning, err = cfg.Float(d, 1, maxOverprovisioning)
	case "failback_delay":
		o.FailbackDelay, err = cfg.Duration(d)
	case "slow_start":
		o.SlowStart = new(SlowStart)
		err = o.SlowStart.unmarshal(d)
		if err == nil && o.unweighted {
			err = cfg.ErrAt(option, "%v", errManagedSlowStart)
		}
	case "queue":
		o.Queue = new(queue.Options)
		err = o.Queue.UnmarshalCaddyfile(d)
	case "hold":
		o.Hold = new(queue.HoldOptions)
		err = o.Hold.UnmarshalCaddyfile(d)
	case "outlier_detection":
		o.OutlierDetection = new(outlier.Options)
		err = o.OutlierDetection.UnmarshalCaddyfile(d)
	}
	return true, err
}

// located says of an error where the option is.
func located(option caddyfile.Token, err error) error {
	if err == nil {
		return nil
	}
	return cfg.ErrAt(option, "%v", err)
}
