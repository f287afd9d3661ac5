package pooltest

import (
	"math"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
)

// SecondLevel is the option that puts upstreams on level 1: those from the first
// number to before the last.
func SecondLevel(from, to int) Object {
	levels := Object{}
	for i := from; i < to; i++ {
		levels[Dial(i)] = 1
	}
	return Object{"priorities": levels}
}

// Backups is the option that makes backups of the upstreams from the first number to
// before the last.
func Backups(from, to int) Object {
	var names []string
	for i := from; i < to; i++ {
		names = append(names, Dial(i))
	}
	return Object{"backups": names}
}

// Degraded is the report of an upstream that is degraded.
var Degraded = healthcheck.Report{Header: http.Header{"X-Envoy-Degraded": {""}}}

// ExpectPercent compares a share of n with what it should be: none and all exactly,
// the rest within four points.
func ExpectPercent(t *testing.T, what string, share, n int, want float64) {
	t.Helper()
	got := 100 * float64(share) / float64(n)
	if math.Abs(got-want) > 4 || want == 0 && share > 0 || want == 100 && share < n {
		t.Errorf("%s: %.1f%%, want %v%%", what, got, want)
	}
}

// ExpectAll expects that all requests go to the upstreams from the first number to
// before the last. The test runs under synctest.
func ExpectAll(t *testing.T, when string, h *reverseproxy.Handler, from, to int) {
	t.Helper()
	synctest.Wait()
	if got := PicksOfClients(h, 200); Sum(got, from, to) != 200 {
		t.Errorf("%s: %v, want %d to %d only", when, got, from, to-1)
	}
}
