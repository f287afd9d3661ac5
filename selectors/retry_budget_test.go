package selectors

import (
	"net/http"
	"testing"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// A retry costs one token, however many policies are inside each other.
func TestRetriesKeepToTheBudget(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := pooltest.NewScripted(t, pooltest.With(config, object{"retry_budget": object{"percent": 0, "per_second": 1}}), 10)
		for i := range 10 {
			pooltest.ScriptAll(pooltest.Reset, pooltest.Dial(i))
		}
		attempts := 0
		for range 50 {
			at, _ := pooltest.ServeInTurn(h, http.MethodGet)
			attempts += len(at)
		}
		if attempts != 60 {
			t.Errorf("%d attempts for 50 requests, want 10 retries", attempts)
		}
	})
}
