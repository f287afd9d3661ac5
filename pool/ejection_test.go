package pool_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

func TestFiveFailedDialsEjectUntilASuccess(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h, victim := pooltest.NewEjected(t, policy, 4)
		pooltest.ExpectTries(t, h, "ejected", victim, 200, 0)
		time.Sleep(30*time.Second - 1)
		pooltest.ExpectTries(t, h, "at the end of the ejection", victim, 200, 0)
		time.Sleep(time.Nanosecond)
		pooltest.ExpectTries(t, h, "on probation, and it fails", victim, 200, 1)
		time.Sleep(60*time.Second - 1)
		pooltest.ExpectTries(t, h, "at the end of the second ejection", victim, 200, 0)
		time.Sleep(time.Nanosecond)
		pooltest.Script(victim, nil)
		pooltest.FailUntil(t, h, victim, nil, pooltest.Tries(victim)+20)
	})
}

// A failure on probation takes effect at once, before the pool is built anew.
func TestFailureOnProbationBearsAtOnce(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h, victim := pooltest.NewEjected(t, policy, 4)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		before := pooltest.Tries(victim)
		for range 200 {
			pooltest.Serve(h, pooltest.NewRequest())
		}
		if got := pooltest.Tries(victim) - before; got != 1 {
			t.Errorf("%d attempts", got)
		}
	})
}

func TestFourFailedDialsDoNotEject(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h := pooltest.NewScripted(t, policy, 3)
		victim := pooltest.Choice(h)
		for range 3 {
			pooltest.FailUntil(t, h, victim, pooltest.Refuse, pooltest.Tries(victim)+4)
			pooltest.FailUntil(t, h, victim, nil, pooltest.Tries(victim)+1)
		}
		pooltest.FailUntil(t, h, victim, nil, pooltest.Tries(victim)+20)
	})
}

func TestOutlierDetectionOff(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h := pooltest.NewScripted(t, pooltest.With(policy, object{"outlier_detection": object{"off": true}}), 3)
		pooltest.FailUntil(t, h, pooltest.Choice(h), pooltest.Refuse, 30)
	})
}

func TestLastUpstreamIsNotEjected(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h, victim := pooltest.NewEjected(t, policy, 2)
		last := pooltest.Dial(0)
		if last == victim {
			last = pooltest.Dial(1)
		}
		pooltest.Script(last, pooltest.Refuse)
		pooltest.ExpectTries(t, h, "the other one is ejected", last, 5, 5)
		pooltest.ExpectTries(t, h, "it fails every attempt: the ejected come first", last, 50, 0)
		pooltest.Script(victim, nil)
		pooltest.Script(last, nil)
		pooltest.ExpectTries(t, h, "the ejected one answers", victim, 1, 1)
	})
}

// A check that never failed does not end an ejection: it does not see what requests
// see.
func TestCheckThatPassesAllAlongDoesNotEndAnEjection(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h, victim := pooltest.NewEjected(t, pooltest.With(policy, pooltest.Checked), 3)
		pooltest.Script(victim, nil)
		for range 29 {
			time.Sleep(time.Second)
			pooltest.ExpectTries(t, h, "its check passes", victim, 5, 0)
		}
	})
}

func TestCheckThatFailedAndThenPassedEndsAnEjection(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h, victim := pooltest.NewEjected(t, pooltest.With(policy, pooltest.LongEjections), 3)
		pooltest.SetDown(victim)
		pooltest.ExpectTries(t, h, "it fails its check", victim, 20, 0)
		pooltest.SetDown()
		pooltest.ExpectTries(t, h, "it passes again, and is on probation", victim, 20, 1)
	})
}

// The check that ends an ejection need not have been down.
func TestOneFailedProbeIsEnoughToEndAnEjection(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h, victim := pooltest.NewEjected(t, pooltest.With(policy, pooltest.LongEjections), 3)
		pooltest.SwitchOff(victim)
		time.Sleep(1200 * time.Millisecond)
		pooltest.SetDown()
		pooltest.ExpectTries(t, h, "one or two probes failed", victim, 20, 1)
	})
}

// flappedThenEjected returns a handler, and an upstream that is ejected after its
// check has failed and passed.
func flappedThenEjected(t *testing.T, policy object) (*reverseproxy.Handler, string) {
	h := pooltest.NewScripted(t, pooltest.With(policy, pooltest.LongEjections), 3)
	victim := pooltest.Choice(h)
	pooltest.SetDown(victim)
	pooltest.SetDown()
	pooltest.FailUntil(t, h, victim, pooltest.Refuse, 5)
	return h, victim
}

func TestCheckThatFailedBeforeAnEjectionDoesNotEndIt(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h, victim := flappedThenEjected(t, policy)
		time.Sleep(time.Minute)
		pooltest.ExpectTries(t, h, "it failed and passed before the ejection", victim, 20, 0)
	})
}

// A check that has failed since the ejection ends it only once it passes again.
func TestCheckThatFailsDoesNotEndAnEjection(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h, victim := flappedThenEjected(t, policy)
		pooltest.SwitchOff(victim)
		for range 8 {
			time.Sleep(250 * time.Millisecond) // not enough for its verdict to change
			pooltest.ExpectTries(t, h, "a probe fails", victim, 5, 0)
		}
		pooltest.SwitchOff()
		time.Sleep(900 * time.Millisecond)
		pooltest.ExpectTries(t, h, "one may have passed, where it takes two", victim, 5, 0)
		time.Sleep(3 * time.Second)
		pooltest.ExpectTries(t, h, "two have passed", victim, 20, 1)
	})
}

// An ejection by one handler holds for all, and for the next configuration.
func TestEjectionOutlivesAReload(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		_, victim := pooltest.NewEjected(t, policy, 3)
		h := pooltest.NewScripted(t, policy, 3)
		pooltest.ExpectTries(t, h, "reloaded", victim, 100, 0)
		time.Sleep(30 * time.Second)
		pooltest.ExpectTries(t, h, "on probation", victim, 100, 1)
	})
}

func TestServiceUnavailableEjectsAsANumberOfThem(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h := pooltest.NewScripted(t, pooltest.With(policy, object{"outlier_detection": object{}}), 3)
		victim := pooltest.Choice(h)
		pooltest.FailUntil(t, h, victim, pooltest.Answer(http.StatusServiceUnavailable), 5)
		pooltest.ExpectTries(t, h, "five answers were 503", victim, 100, 0)
	})
}

// A policy that heeds no latencies has no other way than to eject, and none for a 429.
func TestLoadSheddingWhereThePolicyHeedsNoLatencies(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h := pooltest.NewScripted(t, pooltest.With(policy, object{"outlier_detection": object{}}), 3)
		victim := pooltest.Choice(h)
		pooltest.FailUntil(t, h, victim, pooltest.Answer(http.StatusTooManyRequests, "Retry-After", "60"), 30)
		pooltest.FailUntil(t, h, victim, pooltest.Answer(http.StatusServiceUnavailable, "Retry-After", "1"), 35)
		pooltest.ExpectTries(t, h, "five answers were 503", victim, 50, 0)
	})
}
