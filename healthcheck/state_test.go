package healthcheck

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var errFailed = errors.New("failed")

// result returns that of a probe that has passed or not.
func result(passed bool) Result {
	if passed {
		return Result{}
	}
	return Result{Err: errFailed}
}

// event is a result of a probe, or a response to a request.
type event struct {
	response, passed, degraded bool
	force                      Force
}

var events = rapid.Custom(func(t *rapid.T) event {
	return event{
		response: rapid.IntRange(0, 9).Draw(t, "response") == 0,
		passed:   rapid.Bool().Draw(t, "passed"),
		degraded: rapid.IntRange(0, 4).Draw(t, "degraded") == 0,
		force:    rapid.SampledFrom([]Force{Counts, Counts, Counts, Counts, Decides, Abstains}).Draw(t, "force"),
	}
})

// TestNextAgainstHistory holds the state machine against one that looks back on
// the whole history for each of its answers.
func TestNextAgainstHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := history{
			passes:  rapid.IntRange(1, 4).Draw(t, "passes"),
			fails:   rapid.IntRange(1, 4).Draw(t, "fails"),
			initial: rapid.SampledFrom([]Verdict{Healthy, Checking}).Draw(t, "initial"),
		}
		state := State{Verdict: h.initial, Unproven: h.initial == Checking}
		for i, e := range rapid.SliceOfN(events, 0, 40).Draw(t, "history") {
			before, now := state, time.Unix(int64(i+1), 0)
			h.events = append(h.events, e)
			var flipped bool
			if e.response {
				reason := ""
				if !e.passed {
					reason = "failed"
				}
				state, flipped = state.Answered(e.degraded, reason, now)
			} else {
				r := result(e.passed)
				r.Force, r.Degraded, r.Ended = e.force, e.degraded, now
				state, flipped = state.Next(r, h.passes, h.fails)
			}
			verdict := h.verdict(i)
			if state.Verdict != verdict || flipped != (verdict != before.Verdict) {
				t.Fatalf("%v (flipped: %v) after %v, want %v after %+v", state.Verdict, flipped, before.Verdict, verdict, h.events)
			}
			if state.Degraded != h.degraded(i) {
				t.Fatalf("degraded: %v after %+v", state.Degraded, h.events)
			}
			recovered := before.Recovered
			if before.Verdict == Unhealthy && verdict == Healthy {
				recovered = now
			}
			if state.Recovered != recovered {
				t.Fatalf("recovered at %v after %+v", state.Recovered, h.events)
			}
			if mended := h.mended(i); (mended == i) != (state.Mended == now) || state.Mended != before.Mended && mended != i {
				t.Fatalf("mended at %v after %+v", state.Mended, h.events)
			}
			if state.Unproven && (state.Verdict == Healthy || h.initial == Healthy) {
				t.Fatalf("unproven after %+v", h.events)
			}
		}
	})
}

// history is what has happened to an upstream.
type history struct {
	passes, fails int
	initial       Verdict
	events        []event
}

// verdict looks back from event i for the latest that settled it.
func (h history) verdict(i int) Verdict {
	for ; i >= 0; i-- {
		switch e := h.events[i]; {
		case e.response && !e.passed:
			return Unhealthy
		case e.response:
		case e.force == Abstains:
			if e.passed && h.initial == Checking && !h.decided(i) {
				return Healthy
			}
		case e.passed && (e.force == Decides || !h.decided(i) || h.run(i) >= h.passes):
			return Healthy
		case !e.passed && (e.force == Decides || !h.decided(i) || h.run(i) >= h.fails):
			return Unhealthy
		}
	}
	return h.initial
}

// decided reports whether something had settled the verdict before event i.
func (h history) decided(i int) bool {
	return slices.ContainsFunc(h.events[:i], func(e event) bool {
		if e.response {
			return !e.passed
		}
		return e.force != Abstains || e.passed && h.initial == Checking
	})
}

// run counts the probes with the same result as that of event i, without one
// of the other or a response that failed the upstream in between.
func (h history) run(i int) (n int) {
	passed := h.events[i].passed
	for ; i >= 0; i-- {
		switch e := h.events[i]; {
		case e.response && (e.passed || !passed), !e.response && e.force == Abstains:
		case e.response || e.passed != passed:
			return n
		default:
			n++
		}
	}
	return n
}

// degraded looks back for the latest that said anything of it.
func (h history) degraded(i int) bool {
	for ; i >= 0; i-- {
		if e := h.events[i]; e.degraded || e.passed && !e.response {
			return e.degraded
		}
	}
	return false
}

// mended returns the latest event up to i by which enough probes had passed
// after a failed one; -1 if there is none.
func (h history) mended(i int) int {
	latest, broken := -1, false
	for k, e := range h.events[:i+1] {
		switch {
		case e.response || e.force == Abstains:
		case !e.passed:
			broken = true
		case broken && (e.force == Decides || h.run(k) >= h.passes):
			latest, broken = k, false
		}
	}
	return latest
}

func TestFailsInBetweenDoNotAddUp(t *testing.T) {
	state, _ := State{}.Next(result(true), 2, 3)
	for i, passed := range []bool{false, false, true, false, false, true, false, true, false} {
		var flipped bool
		if state, flipped = state.Next(result(passed), 2, 3); flipped {
			t.Fatalf("flipped at result %d, without three fails in a row", i)
		}
	}
}

func TestStateTellsWhy(t *testing.T) {
	ended := time.Unix(1e9, 0)
	state, _ := State{}.Next(Result{Err: errFailed, Ended: ended, Duration: time.Second}, 2, 3)
	want := State{
		Verdict: Unhealthy, Decided: true, Fails: 1,
		Reason: "failed", Probed: ended, Duration: time.Second, Since: ended, Failed: ended,
		Probes: Probes{Failed: 1, Took: time.Second},
	}
	if state != want {
		t.Errorf("got %+v, want %+v", state, want)
	}
	if !(State{Passes: 1, Verdict: Unhealthy}).InTransition() || !(State{Fails: 1}).InTransition() ||
		(State{Fails: 1, Verdict: Unhealthy}).InTransition() || (State{Passes: 1}).InTransition() {
		t.Error("only results against the verdict make it sway")
	}
}

func TestUnprovenUntilTheFirstPass(t *testing.T) {
	state := State{Verdict: Checking, Unproven: true}
	for _, step := range []struct{ passed, unproven bool }{{false, true}, {false, true}, {true, false}, {false, false}} {
		if state, _ = state.Next(result(step.passed), 2, 3); state.Unproven != step.unproven {
			t.Fatalf("%+v after %+v", state, step)
		}
	}
}

func TestResponseKeepsTheReasonOfWhatIsDownAlready(t *testing.T) {
	down, _ := State{}.Next(result(false), 2, 3)
	state, flipped := down.Answered(false, "a response said so", time.Unix(1e9, 0))
	if flipped || state != down {
		t.Errorf("%+v, not %+v", state, down)
	}
}
