package healthcheck

import (
	"errors"
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

// TestNextAgainstHistory holds the state machine against one that looks at the
// whole history: after the first result, which decides, a verdict is that of the
// latest run of results which was long enough.
func TestNextAgainstHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		passes := rapid.IntRange(1, 4).Draw(t, "passes")
		fails := rapid.IntRange(1, 4).Draw(t, "fails")
		initial := rapid.SampledFrom([]Verdict{Healthy, Checking}).Draw(t, "initial")
		history := rapid.SliceOfN(rapid.Bool(), 0, 40).Draw(t, "history")

		state := State{Verdict: initial}
		for i, passed := range history {
			before := state.Verdict
			var flipped bool
			state, flipped = state.Next(result(passed), passes, fails)
			want := naive(history[:i+1], passes, fails)
			if state.Verdict != want {
				t.Fatalf("after %v: %v, want %v", history[:i+1], state.Verdict, want)
			}
			if flipped != (before != want) {
				t.Fatalf("after %v: flipped %v from %v to %v", history[:i+1], flipped, before, want)
			}
		}
	})
}

func naive(history []bool, passes, fails int) Verdict {
	verdict := Unhealthy
	if history[0] {
		verdict = Healthy
	}
	run := 0
	for i, passed := range history {
		if i > 0 && history[i-1] != passed {
			run = 0
		}
		run++
		switch {
		case passed && run >= passes:
			verdict = Healthy
		case !passed && run >= fails:
			verdict = Unhealthy
		}
	}
	return verdict
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
		Reason: "failed", Probed: ended, Duration: time.Second, Since: ended,
	}
	if state != want {
		t.Errorf("got %+v, want %+v", state, want)
	}
	if !(State{Passes: 1, Verdict: Unhealthy}).Swaying() || !(State{Fails: 1}).Swaying() ||
		(State{Fails: 1, Verdict: Unhealthy}).Swaying() || (State{Passes: 1}).Swaying() {
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
