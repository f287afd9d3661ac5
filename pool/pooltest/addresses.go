package pooltest

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// first is the number of the current test's first address.
var first int

// Isolate gives a test addresses of its own. What is known of an address outlives a
// test.
func Isolate() { first = (first + 10_100) % (1 << 24) }

// FixAddresses gives a test or a benchmark the same addresses in each run, from
// 10.172.0.0 on, for what it measures depends on them.
func FixAddresses(tb testing.TB) {
	before := first
	tb.Cleanup(func() { first = before })
	first = 172 << 16
}

// Test runs a test in a synctest bubble, with addresses of its own.
func Test(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	Isolate()
	synctest.Test(t, test)
}

// Dial returns the dial address of the i-th upstream.
func Dial(i int) string { return Host(i) + ":80" }

// Host returns the host of the i-th upstream.
func Host(i int) string {
	n := (first + i) % (1 << 24)
	return fmt.Sprintf("10.%d.%d.%d", n>>16, n>>8&0xff, n&0xff)
}

// Dials returns the first n upstreams as a configuration has them.
func Dials(n int) []Object {
	upstreams := make([]Object, n)
	for i := range upstreams {
		upstreams[i] = Object{"dial": Dial(i)}
	}
	return upstreams
}

// Upstreams returns new values for the upstreams of these numbers, as dynamic
// sources do.
func Upstreams(numbers ...int) []*reverseproxy.Upstream {
	var all []*reverseproxy.Upstream
	for _, i := range numbers {
		all = append(all, &reverseproxy.Upstream{Dial: Dial(i), Host: new(reverseproxy.Host)})
	}
	return all
}
