package pool_test

import (
	"testing"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// Where one of Caddy's policies picks, too, it would try an upstream that is down as
// often as Caddy asks.
func TestCaddysOwnPolicyMakesNoMoreRetries(t *testing.T) {
	h := pooltest.NewHandler(t, object{
		"policy": "header", "field": "X-Key", "fallback": pooltest.InOrder,
	}, 2)
	if n := h.LoadBalancing.Retries; n != 2 {
		t.Errorf("%d retries, want 2", n)
	}
}
