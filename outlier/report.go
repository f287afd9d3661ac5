package outlier

import "net/http"

// Outcome is how an attempt ended.
type Outcome uint8

const (
	Answered       Outcome = iota // with a status that does not count as failure
	Failure                       // answered with a status that counts as failure
	GatewayFailure                // answered 502, 503 or 504
	Unanswered                    // dial error, reset, timeout
)

// Fault is whose fault a failure was.
type Fault uint8

const (
	// Unknown: it is not known. The failure counts, within max_ejection_percent.
	Unknown Fault = iota

	// Upstream: nothing of the request was sent, or another upstream answered it.
	Upstream

	// Request: all attempts of the request failed alike.
	Request
)

// Report is what an attempt shows of its upstream.
type Report struct {
	Outcome
	Fault  Fault
	Counts bool  // the status counts as failure
	Open   bool  // the response has a body, whose end is still to come
	Lost   bool  // there was no connection
	Closed bool  // the connection was closed before any answer
	Began  int64 // instant at which the attempt began
	Round  int   // probation that the attempt began on; 0 for none
}

// Good reports whether the upstream has served the attempt.
func (r *Report) Good() bool { return r.Outcome == Answered && !r.Counts }

// Outcome returns the outcome of an answer with the status, and whether the status
// counts as failure.
func (r *Rules) Outcome(status int) (o Outcome, counts bool) {
	counts = r.statuses.Contain(status)
	switch {
	case isGateway(status):
		return GatewayFailure, counts
	case counts:
		return Failure, true
	}
	return Answered, false
}

// isGateway reports whether the status says that no server could answer the request.
func isGateway(status int) bool {
	switch status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// streak counts failures in a row, and how many of them are proven to be the
// upstream's fault.
type streak struct{ all, proven int }

func (s *streak) add(fault Fault) {
	s.all++
	if fault == Upstream {
		s.proven++
	}
}

// forgive removes so many of the failures, which were proven.
func (s *streak) forgive(n int) { s.all, s.proven = max(s.all-n, 0), max(s.proven-n, 0) }

// streaks are the failures in a row, by rule.
type streaks struct{ failures, gateway, local streak }

// add counts the report of an attempt.
func (s *streaks) add(r Report) {
	if r.Outcome == Unanswered {
		s.local.add(r.Fault)
		return
	}
	if !r.Open {
		s.local = streak{}
	}
	if r.Counts {
		s.failures.add(r.Fault)
	} else {
		s.failures = streak{}
	}
	if r.Outcome == GatewayFailure {
		s.gateway.add(r.Fault)
	} else {
		s.gateway = streak{}
	}
}
