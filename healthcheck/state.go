package healthcheck

import "time"

// Verdict is a check's judgement of an upstream.
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
	Decided  bool // a result has counted; until then one result decides
	Unproven bool // it gets no traffic before a probe passes, and none has
	Degraded bool // the upstream says that it is up, but not well
	Passes   int  // consecutive, up to the latest probe
	Fails    int  // likewise
	Orders   Orders

	Reason    string        // why the latest failed probe failed, or what a response said
	Probed    time.Time     // when the latest probe ended; zero for never
	Duration  time.Duration // how long it took
	Since     time.Time     // when the verdict became what it is; zero from the start
	Recovered time.Time     // when it last went from unhealthy to healthy; zero for never
	Failed    time.Time     // when the latest failed probe ended; zero for never

	// When enough consecutive probes had passed after one that failed: as many
	// as the option `passes` says, or one that decides. Whether the verdict had
	// flipped does not matter. Zero for never.
	Mended time.Time

	Probes Probes
}

// Probes counts the probes of an upstream by a check, as long as the check is known;
// also over a change of its options.
type Probes struct {
	Passed, Failed uint64
	Void           uint64        // those that say nothing of the upstream
	Took           time.Duration // all of them together
}

// Force is how much the result of a probe counts for the verdict.
type Force uint8

// Forces.
const (
	// Counts: it takes as many consecutive results as the options `passes` and
	// `fails` say to change the verdict.
	Counts Force = iota

	// Decides: the result is the verdict, at once.
	Decides

	// Abstains: the verdict and the counts stay. But a pass ends the verdict
	// checking, since the upstream is there.
	Abstains
)

// Result is the outcome of one probe.
type Result struct {
	Err      error // nil: passed
	Force    Force
	Degraded bool  // the upstream says so
	Order    Order // of the upstream
	Ended    time.Time
	Duration time.Duration
}

// Next returns the state after a probe, and whether its verdict flipped. The first
// result decides; after that it takes as many consecutive results against the
// verdict as passes and fails say.
func (s State) Next(r Result, passes, fails int) (next State, flipped bool) {
	next = s
	next.Probed, next.Duration = r.Ended, r.Duration
	next.Probes.Took += r.Duration
	next.Orders = s.Orders.after(r.Order, r.Ended)
	next.Degraded = r.Degraded || s.Degraded && r.Err != nil
	verdict := s.Verdict
	switch passed := r.Err == nil; {
	case r.Force == Abstains:
		next.Probes.Void++
		if passed && s.Verdict == Checking {
			verdict, next.Decided, next.Unproven = Healthy, true, false
		}
	case passed:
		next.Probes.Passed++
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
		next.Probes.Failed++
		next.Decided = true
		next.Passes, next.Fails = 0, s.Fails+1
		next.Reason, next.Failed = r.Err.Error(), r.Ended
		if r.Force == Decides || !s.Decided || next.Fails >= fails {
			verdict = Unhealthy
		}
	}
	return next.withVerdict(verdict, r.Ended)
}

// Answered returns the state after a response to a request, and whether its verdict
// flipped. The response says that the upstream is degraded, or that it has failed:
// then failed is the reason, else it is empty.
func (s State) Answered(degraded bool, failed string, now time.Time) (next State, flipped bool) {
	next = s
	next.Degraded = s.Degraded || degraded
	if failed == "" {
		return next, false
	}
	next.Decided = true
	next.Passes = 0 // passes before the response do not count
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

// differs reports whether the state differs from the one before in what matters for
// picking.
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

// inherited returns the state that a changed check starts from: the old verdict,
// without the counts; and the orders, if the checker is of the same kind.
func (s State) inherited(sameKind bool) State {
	s.Passes, s.Fails = 0, 0
	if !sameKind {
		s.Orders = Orders{}
	}
	return s
}
