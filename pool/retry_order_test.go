package pool_test

import (
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// Two that have restarted are ejected still when the third one dies.
func TestRetryGoesToTheEjectedBeforeItFails(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h, ejected, last := pooltest.NewAllButOneEjected(t, policy, 3)
		pooltest.ScriptAll(pooltest.Answer(http.StatusOK), ejected...)
		pooltest.Script(last, pooltest.Refuse)
		for n := range 60 {
			if at, ok := pooltest.ServeInTurn(h, http.MethodGet); !ok {
				t.Fatalf("request %d failed: %v", n, at)
			}
		}
	})
}

// The last upstream is never ejected, but once it fails every attempt, first
// attempts go to the ejected. One of those that answers is back, and then the
// last one may be ejected.
func TestFirstAttemptAvoidsTheLastUpstreamThatFails(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h, ejected, last := pooltest.NewAllButOneEjected(t, policy, 3)
		pooltest.ScriptAll(pooltest.Refuse, append(ejected, last)...)
		for range 20 {
			pooltest.ServeInTurn(h, http.MethodPost)
		}
		pooltest.ScriptAll(pooltest.Answer(http.StatusOK), ejected...)
		for n := range 60 {
			if at, ok := pooltest.ServeInTurn(h, http.MethodPost); !ok || len(at) != 1 || at[0] == last {
				t.Fatalf("request %d: %v, answered %t; %s fails", n, at, ok, last)
			}
		}
	})
}

// Three that leave their ejection together are not tried by one and the same
// request while a fourth is well.
func TestRetryTestsNoneOnProbation(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h, ejected, last := pooltest.NewAllButOneEjected(t, policy, 4)
		pooltest.ScriptAll(pooltest.Refuse, ejected...)
		pooltest.Script(last, pooltest.Answer(http.StatusOK))
		time.Sleep(time.Hour)
		synctest.Wait()
		for range 10 {
			at, ok := pooltest.ServeInTurn(h, http.MethodGet)
			if !ok || len(at) > 2 || at[len(at)-1] != last {
				t.Fatalf("%v, answered %t; %s is well", at, ok, last)
			}
		}
	})
}

// Where all others have failed it, a request may have those that a check holds to
// be unhealthy, unless verdicts are never to be ignored.
func TestRetryGoesToTheUnhealthyBeforeItFails(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		policy = pooltest.With(policy, pooltest.Checked)
		for threshold, served := range map[any]bool{nil: true, 0: false} {
			policy := policy
			if threshold != nil {
				policy = pooltest.With(policy, object{"panic_threshold": threshold})
			}
			h := pooltest.NewScripted(t, policy, 2)
			pooltest.SetDown(pooltest.Dial(0))
			pooltest.Script(pooltest.Dial(0), pooltest.Answer(http.StatusOK))
			pooltest.Script(pooltest.Dial(1), pooltest.Refuse)
			if at, ok := pooltest.ServeInTurn(h, http.MethodGet); ok != served || at[0] != pooltest.Dial(1) {
				t.Errorf("panic_threshold %v: %v, answered %t", threshold, at, ok)
			}
			pooltest.SetDown()
		}
	})
}

// An upstream that may have begun to serve a request does not get it again.
func TestRetryRepeatsOnlyWhereNothingWasSent(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h := pooltest.NewScripted(t, pooltest.With(policy, object{"retries": 4, "outlier_detection": object{"off": true}}), 2)
		pooltest.Script(pooltest.Dial(0), pooltest.Refuse)
		pooltest.Script(pooltest.Dial(1), pooltest.Reset)
		at, ok := pooltest.ServeInTurn(h, http.MethodGet)
		first := slices.DeleteFunc(slices.Clone(at), func(a string) bool { return a == pooltest.Dial(1) })
		if ok || len(at) != 5 || len(first) != 4 {
			t.Errorf("attempts on %v, answered %t; the second has had the request, the first has not", at, ok)
		}
	})
}
