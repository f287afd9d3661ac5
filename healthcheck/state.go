package healthcheck

import "time"

// Verdict is what a check holds an upstream to be.
type Verdict uint8

// Verdicts.
const (
	Healthy   Verdict = iota // gets traffic
	Unhealthy                // gets none
	Checking                 // gets none until a first probe has passed
)

func (v Verdict) String() string {
	switch v {
	case Healthy:
		return "healthy"
	case Unhealthy:
		return "unhealthy"
	case Checking:
		return "checking"
	}
	return "unknown"
}

// State is what a check knows of one upstream.
type State struct {
	Verdict  Verdict
	Decided  bool // a probe has had its say; until then one result decides
	Unproven bool // it gets nothing before a probe has passed, and none has
	Passes   int  // consecutive, up to the latest probe
	Fails    int  // likewise

	Reason   string        // why the latest failed probe failed
	Probed   time.Time     // when the latest probe ended; zero for never
	Duration time.Duration // how long it took
	Since    time.Time     // when the verdict became what it is; zero from the start
}

// Result is the outcome of one probe.
type Result struct {
	Err      error // nil: passed
	Ended    time.Time
	Duration time.Duration
}

// Next returns the state after a probe, and whether its verdict flipped.
// An undecided upstream is decided by the first result; after that it takes
// as many consecutive ones against the verdict as passes and fails say.
func (s State) Next(r Result, passes, fails int) (next State, flipped bool) {
	next = s
	next.Decided = true
	next.Probed, next.Duration = r.Ended, r.Duration
	if r.Err == nil {
		next.Passes, next.Fails, next.Unproven = s.Passes+1, 0, false
	} else {
		next.Passes, next.Fails = 0, s.Fails+1
		next.Reason = r.Err.Error()
	}
	switch {
	case s.Verdict != Healthy && r.Err == nil && (!s.Decided || next.Passes >= passes):
		next.Verdict = Healthy
	case s.Verdict != Unhealthy && r.Err != nil && (!s.Decided || next.Fails >= fails):
		next.Verdict = Unhealthy
	}
	if next.Verdict == s.Verdict {
		return next, false
	}
	next.Since = r.Ended
	return next, true
}

// Swaying reports whether the latest results speak against the verdict, not
// yet often enough to change it.
func (s State) Swaying() bool {
	if s.Verdict == Healthy {
		return s.Fails > 0
	}
	return s.Passes > 0
}

// inherited is the state that a changed check starts from: the old verdict,
// with its results still to be counted.
func (s State) inherited() State {
	s.Passes, s.Fails = 0, 0
	return s
}
