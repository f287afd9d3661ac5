package selectors

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// failUntil has the upstream fail, and requests served, one every six seconds,
// until there were so many attempts on it: after less, a policy that heeds
// latencies may still hold a failure against it.
func failUntil(t *testing.T, h *reverseproxy.Handler, victim string, does act, n int) {
	t.Helper()
	play(victim, does)
	for range 1000 {
		if tries(victim) >= n {
			synctest.Wait()
			return
		}
		time.Sleep(6 * time.Second)
		serve(h, newRequest())
	}
	t.Fatalf("%s had %d attempts, want %d", victim, tries(victim), n)
}

// ejected provisions a handler of n upstreams, and lets the one that is picked
// first be ejected by five failed dials.
func ejected(t *testing.T, config object, n int) (h *reverseproxy.Handler, victim string) {
	t.Helper()
	h = staged(t, config, n)
	victim = choice(h)
	failUntil(t, h, victim, refuse, 5)
	return h, victim
}

// expectTries has n requests served, each when what became of the one before has
// come to bear, and compares how many attempts that makes on the upstream.
func expectTries(t *testing.T, h *reverseproxy.Handler, when, victim string, n, want int) {
	t.Helper()
	before := tries(victim)
	for range n {
		synctest.Wait()
		if serve(h, newRequest()) == none {
			t.Fatalf("%s: nothing picked", when)
		}
	}
	if got := tries(victim) - before; got != want {
		t.Errorf("%s: %d attempts of %d, want %d", when, got, n, want)
	}
}

func TestFiveFailedDialsEjectUntilASuccess(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h, victim := ejected(t, config, 4)
		expectTries(t, h, "ejected", victim, 200, 0)
		time.Sleep(30*time.Second - 1)
		expectTries(t, h, "at the end of the ejection", victim, 200, 0)
		time.Sleep(time.Nanosecond)
		expectTries(t, h, "on probation, and it fails", victim, 200, 1)
		time.Sleep(60*time.Second - 1)
		expectTries(t, h, "at the end of the second ejection", victim, 200, 0)
		time.Sleep(time.Nanosecond)
		play(victim, nil)
		failUntil(t, h, victim, nil, tries(victim)+20)
	})
}

// What is on probation and fails gets no more, be it that nobody has had the time
// to notice.
func TestFailureOnProbationBearsAtOnce(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h, victim := ejected(t, config, 4)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		before := tries(victim)
		for range 200 {
			serve(h, newRequest())
		}
		if got := tries(victim) - before; got != 1 {
			t.Errorf("%d attempts", got)
		}
	})
}

func TestFourFailedDialsDoNotEject(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := staged(t, config, 3)
		victim := choice(h)
		for range 3 {
			failUntil(t, h, victim, refuse, tries(victim)+4)
			failUntil(t, h, victim, nil, tries(victim)+1)
		}
		failUntil(t, h, victim, nil, tries(victim)+20)
	})
}

func TestOutlierDetectionOff(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := staged(t, with(config, object{"outlier_detection": object{"off": true}}), 3)
		failUntil(t, h, choice(h), refuse, 30)
	})
}

func TestLastUpstreamIsNotEjected(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h, victim := ejected(t, config, 2)
		last := dial(0)
		if last == victim {
			last = dial(1)
		}
		play(last, refuse)
		expectTries(t, h, "the other one is ejected", last, 5, 5)
		expectTries(t, h, "it fails every attempt: the ejected come first", last, 50, 0)
		play(victim, nil)
		play(last, nil)
		expectTries(t, h, "the ejected one answers", victim, 1, 1)
	})
}

// One that has passed its checks all along is out until the ejection ends: they
// do not see what requests see.
func TestCheckThatPassesAllAlongDoesNotEndAnEjection(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h, victim := ejected(t, with(config, checked), 3)
		play(victim, nil)
		for range 29 {
			time.Sleep(time.Second)
			expectTries(t, h, "its check passes", victim, 5, 0)
		}
	})
}

// longEjections are ejections of ten minutes, which nothing but a check ends
// within a test.
var longEjections = with(checked, object{"outlier_detection": object{"base_ejection_time": "10m", "max_ejection_time": "10m"}})

func TestCheckThatFailedAndThenPassedEndsAnEjection(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h, victim := ejected(t, with(config, longEjections), 3)
		setDown(victim)
		expectTries(t, h, "it fails its check", victim, 20, 0)
		setDown()
		expectTries(t, h, "it passes again, and is on probation", victim, 20, 1)
	})
}

// The check that ends an ejection need not have been down.
func TestOneFailedProbeIsEnoughToEndAnEjection(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h, victim := ejected(t, with(config, longEjections), 3)
		switchOff(victim)
		time.Sleep(1200 * time.Millisecond)
		setDown()
		expectTries(t, h, "one or two probes failed", victim, 20, 1)
	})
}

// flappedThenEjected returns a handler, and an upstream that is ejected after its
// check has failed and passed.
func flappedThenEjected(t *testing.T, config object) (*reverseproxy.Handler, string) {
	h := staged(t, with(config, longEjections), 3)
	victim := choice(h)
	setDown(victim)
	setDown()
	failUntil(t, h, victim, refuse, 5)
	return h, victim
}

func TestCheckThatFailedBeforeAnEjectionDoesNotEndIt(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h, victim := flappedThenEjected(t, config)
		time.Sleep(time.Minute)
		expectTries(t, h, "it failed and passed before the ejection", victim, 20, 0)
	})
}

// A check that has failed since the ejection ends it only once it passes again.
func TestCheckThatFailsDoesNotEndAnEjection(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h, victim := flappedThenEjected(t, config)
		switchOff(victim)
		for range 8 {
			time.Sleep(250 * time.Millisecond) // not enough for its verdict to change
			expectTries(t, h, "a probe fails", victim, 5, 0)
		}
		switchOff()
		time.Sleep(900 * time.Millisecond)
		expectTries(t, h, "one may have passed, where it takes two", victim, 5, 0)
		time.Sleep(3 * time.Second)
		expectTries(t, h, "two have passed", victim, 20, 1)
	})
}

// What happens to an upstream by one handler holds for all, and for the
// configuration that follows.
func TestEjectionOutlivesAReload(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		_, victim := ejected(t, config, 3)
		h := staged(t, config, 3)
		expectTries(t, h, "reloaded", victim, 100, 0)
		time.Sleep(30 * time.Second)
		expectTries(t, h, "on probation", victim, 100, 1)
	})
}

func TestServiceUnavailableEjectsAsANumberOfThem(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := staged(t, with(config, object{"outlier_detection": object{}}), 3)
		victim := choice(h)
		failUntil(t, h, victim, answer(http.StatusServiceUnavailable), 5)
		expectTries(t, h, "five answers were 503", victim, 100, 0)
	})
}
