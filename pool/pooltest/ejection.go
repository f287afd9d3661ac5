package pooltest

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// LongEjections are the options of a check, see [Checked], and of ejections of ten
// minutes, which only a check ends earlier.
var LongEjections = With(Checked, Object{"outlier_detection": Object{"base_ejection_time": "10m", "max_ejection_time": "10m"}})

// FailUntil has the upstream act as given, and requests served, one every six
// seconds, until it had so many attempts: after less time, a policy that heeds
// latencies may still hold a failure against it.
func FailUntil(t *testing.T, h *reverseproxy.Handler, victim string, act Act, n int) {
	t.Helper()
	Script(victim, act)
	for range 1000 {
		if Tries(victim) >= n {
			synctest.Wait()
			return
		}
		time.Sleep(6 * time.Second)
		Serve(h, NewRequest())
	}
	t.Fatalf("%s had %d attempts, want %d", victim, Tries(victim), n)
}

// ExpectTries has n requests served, each once the one before has taken effect, and
// compares how many attempts that makes on the upstream.
func ExpectTries(t *testing.T, h *reverseproxy.Handler, when, victim string, n, want int) {
	t.Helper()
	before := Tries(victim)
	for range n {
		synctest.Wait()
		if Serve(h, NewRequest()) == None {
			t.Fatalf("%s: nothing picked", when)
		}
	}
	if got := Tries(victim) - before; got != want {
		t.Errorf("%s: %d attempts of %d, want %d", when, got, n, want)
	}
}

// NewEjected provisions a handler of n upstreams, and has the one that is picked
// first ejected, by five failed dials.
func NewEjected(t *testing.T, policy Object, n int) (h *reverseproxy.Handler, victim string) {
	t.Helper()
	h = NewScripted(t, policy, n)
	victim = Choice(h)
	FailUntil(t, h, victim, Refuse, 5)
	return h, victim
}

// NewOnProbation provisions a handler of n upstreams of which one is on probation.
func NewOnProbation(t *testing.T, policy Object, n int) (h *reverseproxy.Handler, victim string) {
	t.Helper()
	h, victim = NewEjected(t, policy, n)
	time.Sleep(30 * time.Second)
	synctest.Wait()
	return h, victim
}

// NewAllButOneEjected provisions a handler of n upstreams of which all but the last
// are ejected, for ten minutes each, by five failed dials.
func NewAllButOneEjected(t *testing.T, policy Object, n int) (h *reverseproxy.Handler, ejected []string, last string) {
	t.Helper()
	h = NewScripted(t, With(policy, LongEjections), n)
	for range n - 1 {
		victim := Choice(h)
		FailUntil(t, h, victim, Refuse, Tries(victim)+5)
		ejected = append(ejected, victim)
		Script(victim, nil)
	}
	last = Choice(h)
	if slices.Contains(ejected, last) {
		t.Fatalf("%s is ejected, and picked", last)
	}
	return h, ejected, last
}
