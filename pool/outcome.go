package pool

import "net/http"

// outcome is what became of an attempt, as outlier detection sees it.
type outcome uint8

const (
	answered      outcome = iota
	failed                // answered with a status that counts as failure
	failedGateway         // answered 502, 503 or 504
	unreachable           // not answered: dial error, reset, timeout
)

// outcome returns what an answer is.
func (r *rules) outcome(status int) (o outcome, counts bool) {
	counts = r.statuses.Contain(status)
	switch {
	case isGateway(status):
		return failedGateway, counts
	case counts:
		return failed, true
	}
	return answered, false
}

// isGateway reports whether the status says that nobody was there to serve the
// request.
func isGateway(status int) bool {
	switch status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// report is an attempt's outcome.
type report struct {
	outcome
	began  int64
	counts bool // the status counts as failure
	round  int  // of the probation that the attempt began on; 0 for none
	open   bool // the response has a body that is still to come
}

// row counts failures in a row.
type row struct{ failures, gateway, local int }

// Why upstreams are ejected.
const (
	byFailures    = "consecutive_5xx"
	byGateway     = "consecutive_gateway_failures"
	byLocal       = "consecutive_local_origin_failures"
	bySuccessRate = "success_rate"
	byPercentage  = "failure_percentage"
)

// broken returns the rule on failures in a row that is broken, if one is.
func (r *rules) broken(row row) (because string, limited bool) {
	switch {
	case r.Local > 0 && row.local >= r.Local:
		return byLocal, false
	case r.Gateway > 0 && row.gateway >= r.Gateway:
		return byGateway, true
	case r.Failures > 0 && row.failures >= r.Failures:
		return byFailures, true
	}
	return "", false
}

// first returns the rule that an upstream on probation breaks with its first
// failure: any that is on counts.
func (r *rules) first(rep report) (because string, limited bool) {
	switch {
	case rep.outcome == unreachable && (r.Local > 0 || r.byShare()):
		return byLocal, false
	case rep.outcome == failedGateway && r.Gateway > 0:
		return byGateway, true
	case rep.counts && (r.Failures > 0 || r.byShare()):
		return byFailures, true
	}
	return "", false
}
