package pool

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
)

// What an answer that asks to back off counts as, at least, and how long it may
// ask for.
const (
	shortestBackOff = 5 * time.Second
	longestBackOff  = 300 * time.Second
)

// backOff reports whether the answer asks to back off, and has the upstream be
// spared if the policy heeds latencies.
func (s *sink) backOff(res *http.Response) bool {
	if s.pool.latency == nil {
		return false
	}
	after := res.Header.Get("Retry-After")
	if res.StatusCode != http.StatusTooManyRequests && (res.StatusCode != http.StatusServiceUnavailable || after == "") {
		return false
	}
	now := time.Now()
	s.member.latency.backOff(instant.Of(now), retryAfterOf(after, now))
	return true
}

// retryAfterOf parses the header Retry-After: seconds, or a date (RFC 9110,
// 10.2.3). Text that is neither counts as [shortestBackOff].
func retryAfterOf(after string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(after, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(seconds, uint64(longestBackOff/time.Second))) * time.Second
	}
	if date, err := http.ParseTime(after); err == nil {
		return max(date.Sub(now), 0)
	}
	return shortestBackOff
}
