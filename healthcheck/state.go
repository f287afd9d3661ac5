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
	Degraded bool // it says that it is up, but not well
	Passes   int  // consecutive, up to the latest probe
	Fails    int  // likewise
	Orders   Orders

	Reason    string        // why the latest failed probe failed, or what a response said
	Probed    time.Time     // when the latest probe ended; zero for never
	Duration  time.Duration // how long it took
	Since     time.Time     // when the verdict became what it is; zero from the start
	Recovered time.Time     // when it last went from unhealthy to healthy; zero for never
	Failed    time.Time     // when the latest failed probe ended; zero for never

	// When as many consecutive probes as the option `passes` asks for, or one
	// that decides, had passed after one that failed, whatever the verdict was;
	// zero for never.
	Mended time.Time
}

// Force is what the result of a probe does to the verdict.
type Force uint8

// Forces.
const (
	// Counts: as many in a row as the options `passes` and `fails` say change
	// the verdict.
	Counts Force = iota

	// Decides: the verdict is as the result, at once.
	Decides

	// Abstains: the verdict and what counts for it stay. A pass proves the
	// upstream to be there, so that it is no longer checking; a fail has learnt
	// nothing.
	Abstains
)

// Result is the outcome of one probe.
type Result struct {
	Err      error // nil: passed
	Force    Force
	Degraded bool  // the upstream says so
	Order    Order // what it asks for
	Ended    time.Time
	Duration time.Duration
}

// Next returns the state after a probe, and whether its verdict flipped.
// An undecided upstream is decided by the first result; after that it takes
// as many consecutive ones against the verdict as passes and fails say.
func (s State) Next(r Result, passes, fails int) (next State, flipped bool) {
	next = s
	next.Probed, next.Duration = r.Ended, r.Duration
	next.Orders = s.Orders.after(r.Order, r.Ended)
	next.Degraded = r.Degraded || s.Degraded && r.Err != nil
	verdict := s.Verdict
	switch passed := r.Err == nil; {
	case r.Force == Abstains:
		if passed && s.Verdict == Checking {
			verdict, next.Decided, next.Unproven = Healthy, true, false
		}
	case passed:
		next.Decided, next.Unproven = true, false
		next.Passes, next.Fails = s.Passes+1, 0
		enough := r.Force == Decides || next.Passes >= passes
		if enough && s.Failed.After(s.Mended) {
			next.Mended = r.Ended
		}
		if enough || !s.Decided {
			verdict = Healthy
		}
	default:
		next.Decided = true
		next.Passes, next.Fails = 0, s.Fails+1
		next.Reason, next.Failed = r.Err.Error(), r.Ended
		if r.Force == Decides || !s.Decided || next.Fails >= fails {
			verdict = Unhealthy
		}
	}
	return next.withVerdict(verdict, r.Ended)
}

// Answered returns the state after a response to a request that says that the
// upstream is degraded, or that has failed it for the given reason, unless that
// is empty; and whether its verdict flipped.
func (s State) Answered(degraded bool, failed string, now time.Time) (next State, flipped bool) {
	next = s
	next.Degraded = s.Degraded || degraded
	if failed == "" {
		return next, false
	}
	next.Decided = true
	next.Passes = 0 // it takes all of them to come back
	if s.Verdict != Unhealthy {
		next.Reason = failed
	}
	return next.withVerdict(Unhealthy, now)
}

// withVerdict returns the state with the verdict, and whether it flipped.
func (s State) withVerdict(v Verdict, now time.Time) (next State, flipped bool) {
	if v == s.Verdict {
		return s, false
	}
	if v == Healthy && s.Verdict == Unhealthy {
		s.Recovered = now
	}
	s.Verdict, s.Since = v, now
	return s, true
}

// differs reports whether something has changed since before that decides who
// may be picked.
func (s State) differs(before State) bool {
	return s.Verdict != before.Verdict || s.Unproven != before.Unproven || s.Degraded != before.Degraded ||
		s.Orders != before.Orders || s.Mended != before.Mended
}

// known reports whether the state is more than the initial one.
func (s State) known() bool { return s.Decided || s.Degraded || s.Orders != Orders{} }

// InTransition reports whether the latest results speak against the verdict, not
// yet often enough to change it.
func (s State) InTransition() bool {
	if s.Verdict == Healthy {
		return s.Fails > 0
	}
	return s.Passes > 0
}

// inherited is the state that a changed check starts from: the old verdict,
// with its results still to be counted; and, where the checker is of the same
// kind, the orders.
func (s State) inherited(sameKind bool) State {
	s.Passes, s.Fails = 0, 0
	if !sameKind {
		s.Orders = Orders{}
	}
	return s
}
