package pool

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
)

const (
	shortestBackOff = 5 * time.Second   // the least latency to expect of an upstream that asks to back off
	longestBackOff  = 300 * time.Second // for which it may ask
)

// backOff reports whether the answer asks to back off. If so, the latency to expect of
// the upstream rises. It does nothing where no policy picks by latency.
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

// retryAfterOf parses the header Retry-After: seconds or a date (RFC 9110, 10.2.3).
// Other text counts as [shortestBackOff].
func retryAfterOf(after string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(after, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(seconds, uint64(longestBackOff/time.Second))) * time.Second
	}
	if date, err := http.ParseTime(after); err == nil {
		return max(date.Sub(now), 0)
	}
	return shortestBackOff
}
