package outlier

import (
	"testing"
	"time"
)

// hostOf returns a host that so many attempts without an answer eject, for 30 s.
func hostOf(local int) *Host {
	return &Host{rules: &Rules{Local: local, Interval: 10 * time.Second, Base: 30 * time.Second, Max: 300 * time.Second}}
}

// A connection shows that the upstream is there. It makes up for the connections that
// failed, and for no request that did.
func TestAConnectionForgivesThoseThatFailed(t *testing.T) {
	const now = int64(time.Hour)
	missed := func(h *Host) Finding { return h.Missed(now) }
	unanswered := func(h *Host) Finding { return h.Observe(Report{Outcome: Unanswered, Fault: Upstream}, now) }
	answered := func(h *Host) Finding { return h.Observe(Report{Outcome: Answered}, now) }
	answeredToTheEnd := func(h *Host) (f Finding) {
		h.Complete(now)
		return f
	}
	reached := func(h *Host) (f Finding) {
		if h.Reached(now) {
			t.Error("a connection brings back what is serving")
		}
		return f
	}
	type step = func(*Host) Finding
	for name, steps := range map[string][]step{ // the last one ejects
		"connections":                  {missed, missed, reached, missed, missed, missed},
		"requests":                     {unanswered, unanswered, reached, unanswered},
		"both":                         {unanswered, missed, reached, unanswered, missed},
		"connections before an answer": {missed, missed, answered, unanswered, unanswered, reached, unanswered},
		"connections before the end of an answer": {missed, missed, answeredToTheEnd, unanswered, unanswered, reached, unanswered},
		"connections forgiven once":               {missed, unanswered, reached, unanswered, reached, unanswered},
		"connections that ejected none":           {missed, missed, missed, unanswered, unanswered, reached, unanswered},
	} {
		h := hostOf(3)
		for i, s := range steps {
			if f := s(h); (f.Rule != "") != (i == len(steps)-1 || name == "connections that ejected none" && i == 2) {
				t.Errorf("%s: step %d breaks the rule %q", name, i+1, f.Rule)
			}
		}
	}
}

// While one pool connects to a lost upstream, its ejection does not end by itself, but for
// pools that do not connect: those have nothing else that would end it.
func TestAnEjectionEndsForPoolsThatDoNotConnect(t *testing.T) {
	now := int64(time.Hour)
	h := hostOf(3)
	h.Seek(1)
	if _, ok := h.Eject(now, Finding{Rule: ByLocal, Lost: true}, 0); !ok {
		t.Fatal("not ejected")
	}
	ends := now + int64(30*time.Second)
	for _, test := range []struct {
		at    int64
		seeks bool
		phase Phase
		until int64
	}{
		{now, true, Ejected, 0},
		{now, false, Ejected, ends},
		{ends - 1, false, Ejected, ends},
		{ends, true, Ejected, 0},
		{ends, false, Probation, 0},
		{ends, true, Probation, 0}, // it is the same for all
	} {
		if s := h.State(test.at, test.seeks); s.Phase != test.phase || s.Until != test.until {
			t.Errorf("%v after it began, for a pool that connects (%t): phase %d, until %d", time.Duration(test.at-now), test.seeks, s.Phase, s.Until)
		}
	}
}
