package pool

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// outcome is what became of an attempt, as outlier detection sees it.
type outcome uint8

const (
	answered      outcome = iota
	failed                // answered with a status that counts as failure
	failedGateway         // answered 502, 503 or 504
	unreachable           // not answered: dial error, reset, timeout
)

// unsent reports whether an attempt failed before anything of its request was
// sent: there was no connection, or no TLS session on it.
func unsent(err error) bool {
	var dial reverseproxy.DialError
	var op *net.OpError
	if errors.As(err, &dial) || errors.As(err, &op) && op.Op == "dial" {
		return true
	}
	var header tls.RecordHeaderError
	var verification *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	return errors.As(err, &header) || errors.As(err, &verification) || errors.As(err, &unknown) ||
		errors.As(err, &name) || errors.As(err, &invalid) || err.Error() == "net/http: TLS handshake timeout"
}

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
	alike  bool // all attempts of the request failed as this one did
	proven bool // the failure is the upstream's own: nothing was sent, or another one answered the request
}

// streak counts failures in a row.
type streak struct{ all, proven int }

func (s *streak) add(proven bool) {
	s.all++
	if proven {
		s.proven++
	}
}

// row counts failures in a row, by the rules on them.
type row struct{ failures, gateway, local streak }

// Why upstreams are ejected.
const (
	byFailures    = "consecutive_5xx"
	byGateway     = "consecutive_gateway_failures"
	byLocal       = "consecutive_local_origin_failures"
	bySuccessRate = "success_rate"
	byPercentage  = "failure_percentage"
)

var everyRule = []string{byFailures, byGateway, byLocal, bySuccessRate, byPercentage}

// broken returns the rule on failures in a row that is broken, if one is, and
// whether the ejection is held to the share that may be ejected: one for failures
// that are proven is not.
func (r *rules) broken(row row) (because string, limited bool) {
	switch {
	case r.Local > 0 && row.local.all >= r.Local:
		return byLocal, row.local.proven < r.Local
	case r.Gateway > 0 && row.gateway.all >= r.Gateway:
		return byGateway, row.gateway.proven < r.Gateway
	case r.Failures > 0 && row.failures.all >= r.Failures:
		return byFailures, row.failures.proven < r.Failures
	}
	return "", false
}

// first returns the rule that an upstream on probation breaks with its first
// failure: any that is on counts.
func (r *rules) first(rep report) (because string, limited bool) {
	switch {
	case rep.outcome == unreachable && (r.Local > 0 || r.byShare()):
		return byLocal, !rep.proven
	case rep.outcome == failedGateway && r.Gateway > 0:
		return byGateway, !rep.proven
	case rep.counts && (r.Failures > 0 || r.byShare()):
		return byFailures, !rep.proven
	}
	return "", false
}
