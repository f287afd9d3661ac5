package outlier

import (
	"time"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
)

// Rules are [Options] with their defaults: when an upstream is ejected, and for
// how long.
type Rules struct {
	Failures, Gateway, Local    int     // failures in a row that eject; 0: the rule is off
	Deviations, Percentage      float64 // of the rules on rates; 0: the rule is off
	Hosts, Volume               int     // the least for the rules on rates
	Interval, Base, Max, Jitter time.Duration
	Percent                     float64 // of the upstreams that may be ejected at a time
	Status                      []string

	statuses cfg.Statuses
	key      string // equal for configurations that share their ejections
}

// ByRate reports whether one of the rules on rates of failure is on.
func (r *Rules) ByRate() bool { return r.Deviations > 0 || r.Percentage > 0 }

// Key is equal for configurations that share their ejections.
func (r *Rules) Key() string { return r.key }

// Names of the rules, as logs and metrics have them.
const (
	ByFailures    = "consecutive_5xx"
	ByGateway     = "consecutive_gateway_failures"
	ByLocal       = "consecutive_local_origin_failures"
	BySuccessRate = "success_rate"
	ByPercentage  = "failure_percentage"
)

// EveryRule is all of them.
var EveryRule = []string{ByFailures, ByGateway, ByLocal, BySuccessRate, ByPercentage}

// broken returns the rule that the streaks break; empty for none. Limited is whether
// max_ejection_percent holds for the ejection: it does not if enough of the failures
// are proven.
func (r *Rules) broken(s streaks) (rule string, limited bool) {
	switch {
	case r.Local > 0 && s.local.all >= r.Local:
		return ByLocal, s.local.proven < r.Local
	case r.Gateway > 0 && s.gateway.all >= r.Gateway:
		return ByGateway, s.gateway.proven < r.Gateway
	case r.Failures > 0 && s.failures.all >= r.Failures:
		return ByFailures, s.failures.proven < r.Failures
	}
	return "", false
}

// brokenOnProbation returns the rule that one failure breaks on probation; empty for
// none. It is a rule that is on and counts such failures.
func (r *Rules) brokenOnProbation(rep Report) (rule string, limited bool) {
	limited = rep.Fault != Upstream
	switch {
	case rep.Outcome == Unanswered && (r.Local > 0 || r.ByRate()):
		return ByLocal, limited
	case rep.Outcome == GatewayFailure && r.Gateway > 0:
		return ByGateway, limited
	case rep.Counts && (r.Failures > 0 || r.ByRate()):
		return ByFailures, limited
	}
	return "", false
}
