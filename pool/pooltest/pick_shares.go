package pooltest

import (
	"math"
	"testing"
	"testing/synctest"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// ExpectShare compares an upstream's share of the picks with that of the weight
// that it should have among all, the others having 1. It picks so often that chance
// stays within a tenth: that is six standard deviations.
func ExpectShare(t *testing.T, when string, h *reverseproxy.Handler, all []*reverseproxy.Upstream, address string, weight float64) {
	t.Helper()
	synctest.Wait()
	want := weight / (weight + float64(len(all)-1))
	times := 3600 / want
	r, n := NewRequest(), 0.0
	for range int(times) {
		if Pick(h, all, r) == address {
			n++
		}
	}
	got := n / times
	if math.Abs(got-want) > want/10 {
		t.Errorf("%s: %s has %.2f%%, want %.2f%%", when, address, 100*got, 100*want)
	}
}
