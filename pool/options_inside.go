package pool

import "github.com/caddy-evenkeel/evenkeel/internal/cfg"

// CommonOption returns an error at the first option that a Caddyfile has set; nil if
// it has set none. It is for policies inside another one of ours, which may set none.
func CommonOption(o *Options) error {
	if o.first == nil {
		return nil
	}
	return cfg.ErrAt(*o.first, "%s: %s", o.first.Text, outersBusiness)
}

const outersBusiness = "options that every policy has belong to the outer policy"

// common returns the name of one of the options that is set; empty if none is.
func (o *Options) common() string {
	switch {
	case o.Name != "":
		return "name"
	case o.Weights != nil:
		return "weight"
	case o.Priorities != nil:
		return "priority"
	case o.Backups != nil:
		return "backup"
	case o.Overprovisioning != nil:
		return "overprovisioning"
	case o.FailbackDelay != 0:
		return "failback_delay"
	case o.SlowStart != nil:
		return "slow_start"
	case o.MaxRequests != nil, o.DefaultMaxRequests != 0:
		return "max_requests"
	case o.Queue != nil:
		return "queue"
	case o.Hold != nil:
		return "hold"
	case o.OutlierDetection != nil:
		return "outlier_detection"
	case o.Retries != nil:
		return "retries"
	case o.RetrySame:
		return "retry_same"
	case o.RetryBudget != nil:
		return "retry_budget"
	case o.PanicThreshold != nil:
		return "panic_threshold"
	case o.HealthChecks != nil:
		return "health_check"
	}
	return ""
}
