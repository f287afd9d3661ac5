package pool_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// inService counts the upstreams that get first attempts, of GETs that are all
// answered.
func inService(h *reverseproxy.Handler) int {
	seen := make(map[string]bool)
	for client := range 300 {
		u := h.LoadBalancing.SelectionPolicy.Select(h.Upstreams, pooltest.NewRequestOf(client), nil)
		if u != nil {
			seen[u.Dial] = true
		}
	}
	return len(seen)
}

// A request on which every upstream fails ejects none.
func TestPoisonEjectsNone(t *testing.T) {
	pooltest.Test(t, func(t *testing.T) {
		h := pooltest.NewScripted(t, pooltest.With(pooltest.ByWeight, pooltest.Object{"retry_budget": pooltest.Object{"off": true}}), 4)
		for i := range 4 {
			pooltest.Script(pooltest.Dial(i), pooltest.Reset)
		}
		for range 1000 {
			if at, ok := pooltest.ServeInTurn(h, http.MethodGet); ok || len(at) != 3 {
				t.Fatalf("%v, answered %t", at, ok)
			}
		}
		if got := inService(h); got != 4 {
			t.Errorf("%d of 4 are in service", got)
		}
	})
}

// threeOfTenReset has three of ten upstreams reset what they get, and the others
// answer.
func threeOfTenReset() {
	for i := range 10 {
		does := pooltest.Answer(http.StatusOK)
		if i < 3 {
			does = pooltest.Reset
		}
		pooltest.Script(pooltest.Dial(i), does)
	}
}

// Where another upstream answers the retry, the failure was the first one's. Such
// ejections are not held to max_ejection_percent.
func TestFailuresProvenByAnotherAnswerEject(t *testing.T) {
	pooltest.Test(t, func(t *testing.T) {
		h := pooltest.NewScripted(t, pooltest.ByWeight, 10)
		threeOfTenReset()
		for range 200 {
			pooltest.ServeInTurn(h, http.MethodGet)
		}
		if got := inService(h); got != 7 {
			t.Errorf("%d are in service, want 7 of 10", got)
		}
	})
}

// A POST is not retried, so that its failure proves nothing: it ejects within
// max_ejection_percent, a tenth of the upstreams by default.
func TestFailuresOfPostsEjectWithinTheShare(t *testing.T) {
	for name, test := range map[string]struct {
		options object
		method  string
	}{
		"POST":             {object{}, http.MethodPost},
		"GET, retries off": {object{"retries": 0}, http.MethodGet},
	} {
		t.Run(name, func(t *testing.T) {
			pooltest.Test(t, func(t *testing.T) {
				h := pooltest.NewScripted(t, pooltest.With(pooltest.ByWeight, test.options), 10)
				threeOfTenReset()
				for range 200 {
					pooltest.ServeInTurn(h, test.method)
				}
				if got := inService(h); got != 9 {
					t.Errorf("%d are in service, want 9 of 10", got)
				}
			})
		})
	}
}

// A request on which every upstream fails ends no probation, neither way.
func TestPoisonOnProbationTellsNothing(t *testing.T) {
	pooltest.Test(t, func(t *testing.T) {
		h, victim := pooltest.NewEjected(t, pooltest.ByWeight, 3)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		for i := range 3 {
			pooltest.Script(pooltest.Dial(i), pooltest.Reset)
		}
		for range 20 {
			pooltest.ServeInTurn(h, http.MethodGet)
		}
		for i := range 3 {
			pooltest.Script(pooltest.Dial(i), pooltest.Answer(http.StatusOK))
		}
		before := pooltest.Tries(victim)
		pooltest.ServeInTurn(h, http.MethodGet) // which is the one that tests it
		synctest.Wait()
		if got := pooltest.Tries(victim) - before; got != 1 {
			t.Fatalf("it is tested by %d requests, want 1", got)
		}
		if got := inService(h); got != 3 {
			t.Errorf("%d of 3 are in service", got)
		}
	})
}

// A request whose attempts were not all sent does not clear those that were.
func TestGatewayAnswersElsewhereProveNothing(t *testing.T) {
	pooltest.Test(t, func(t *testing.T) {
		h := pooltest.NewScripted(t, pooltest.ByWeight, 2)
		pooltest.Script(pooltest.Dial(0), pooltest.Reset)
		pooltest.Script(pooltest.Dial(1), pooltest.Answer(http.StatusBadGateway))
		for range 50 {
			pooltest.ServeInTurn(h, http.MethodGet)
		}
		if got := inService(h); got != 2 {
			t.Errorf("%d of 2 are in service; the other answers no better", got)
		}
	})
}

// Upstreams that answer no request at all are ejected in the end, although each of
// their requests has met none but such.
func TestUpstreamsThatAnswerNoRequestAreEjectedInTheEnd(t *testing.T) {
	pooltest.Test(t, func(t *testing.T) {
		h := pooltest.NewScripted(t, pooltest.InOrder, 4)
		pooltest.ScriptAll(pooltest.Reset, pooltest.Dial(0), pooltest.Dial(1), pooltest.Dial(2))
		pooltest.Script(pooltest.Dial(3), pooltest.Answer(http.StatusOK))
		failed := 0
		for n := range 200 { // each request meets the same three
			if _, ok := pooltest.ServeInTurn(h, http.MethodGet); !ok && n >= 100 {
				failed++
			}
			time.Sleep(200 * time.Millisecond)
		}
		if failed > 0 {
			t.Errorf("%d of the last 100 requests failed", failed)
		}
	})
}
