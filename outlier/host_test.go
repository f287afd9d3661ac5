package outlier

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
)

var testStatuses = []int{0, 200, 404, 500, 502, 503, 504}

// drawRules draws rules, and the statuses among those above that count as
// failures by them.
func drawRules(t *rapid.T) (*Rules, map[int]bool) {
	inARow := rapid.IntRange(0, 4)
	r := &Rules{
		Failures: inARow.Draw(t, "failures"), Gateway: inARow.Draw(t, "gateway"), Local: inARow.Draw(t, "local"),
		Interval: 10 * time.Second, Base: 30 * time.Second, Max: 100 * time.Second,
		Jitter: rapid.SampledFrom([]time.Duration{0, 5 * time.Second}).Draw(t, "jitter"),
	}
	if rapid.Bool().Draw(t, "by share") {
		r.Percentage = defaultFailurePercentage
	}
	failures := map[int]bool{500: true, 502: true, 503: true, 504: true}
	items := []string{"5xx"}
	if rapid.Bool().Draw(t, "own list") {
		failures, items = map[int]bool{404: true, 503: true}, []string{"404", "503"}
	}
	r.statuses, _ = cfg.ParseStatuses(items)
	return r, failures
}

// machine drives a host and its model side by side.
type machine struct {
	*Host
	past past
	now  int64
	late bool // attempts may end that began on an earlier probation
}

func (m *machine) is(t *rapid.T, what string, got, want any) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: %v, want %v", what, got, want)
	}
}

func (m *machine) wait(t *rapid.T) {
	now, e := m.now, m.past.latest()
	steps := []int64{1, int64(time.Second), int64(m.rules.Interval), int64(m.rules.Base)}
	for _, at := range []int64{e.until - 1, e.until, e.back + int64(m.rules.Interval)} {
		if at > now {
			steps = append(steps, at-now)
		}
	}
	m.now += rapid.SampledFrom(steps).Draw(t, "step")
}

// start has an attempt begin: one that has claimed its place, or one that takes its
// chance beside others.
func (m *machine) start(t *rapid.T) {
	for _, a := range m.past.attempts {
		if a.claimed && rapid.Bool().Draw(t, "claimed") {
			a.claimed, a.began = false, m.now
			return
		}
	}
	probes := m.past.phase(m.now) == Probation
	round, _ := m.Claim(m.now, true)
	m.is(t, "round", round != 0, probes)
	m.past.attempts = append(m.past.attempts, &recalled{began: m.now, ejections: len(m.past.outs), probation: probes, round: round})
}

// take claims a place, which an attempt may follow or not.
func (m *machine) take(t *rapid.T) {
	phase := m.past.phase(m.now)
	on := phase == Probation
	free := phase == Serving || on && !m.past.taken()
	round, ok := m.Claim(m.now, false)
	m.is(t, "claim", ok, free)
	m.is(t, "claim on probation", round != 0, on && free)
	if round != 0 {
		m.past.attempts = append(m.past.attempts, &recalled{claimed: true, ejections: len(m.past.outs), probation: true, round: round})
	}
}

// one draws an attempt of which something is still to come.
func (m *machine) one(t *rapid.T, of func(*recalled) bool) *recalled {
	var those []*recalled
	for _, a := range m.past.attempts {
		stray := a.probation && !m.past.own(a) || a.reported && m.past.stale(a, m.now)
		if of(a) && (m.late || !stray) {
			those = append(those, a)
		}
	}
	if len(those) == 0 {
		t.Skip("there is none")
	}
	return rapid.SampledFrom(those).Draw(t, "attempt")
}

func (m *machine) end(t *rapid.T) {
	a := m.one(t, func(a *recalled) bool { return !a.reported && !a.claimed })
	status := rapid.SampledFrom(testStatuses).Draw(t, "status")
	a.reported, a.open = true, status != 0 && rapid.Bool().Draw(t, "open")
	r := Report{Outcome: Unanswered, Fault: Upstream, Began: a.began, Round: a.round, Open: a.open}
	if status != 0 {
		r.Fault = Unknown
		r.Outcome, r.Counts = m.rules.Outcome(status)
	}
	stale, was := m.past.stale(a, m.now), m.past.phase(m.now)
	want := ""
	if !stale {
		want = m.past.observe(status, a.open, m.now)
	}
	rescued := m.past.rescued(a, status, m.now)
	f := m.Observe(r, m.now)
	because, limited := f.Rule, f.Limited
	m.is(t, "back", f.Back, rescued || was == Probation && m.past.phase(m.now) == Serving)
	if because == "" || want == "" {
		m.is(t, "rule", because, want)
		return
	}
	// Which of several broken ones is named does not matter.
	m.is(t, "the rule has a share set", limited, because != ByLocal)
	if rapid.Bool().Draw(t, "ejection is not allowed") {
		return
	}
	m.throw(t, because, limited)
	m.throw(t, because, limited) // another handler comes too late
}

func (m *machine) throw(t *rapid.T, because string, limited bool) {
	random := rapid.SampledFrom([]float64{0, 0.5, 0.999}).Draw(t, "random")
	e, _ := m.Eject(m.now, Finding{Rule: because, Limited: limited}, random)
	wantTimes, wantLasts := m.past.eject(m.now, because, time.Duration(random*float64(m.rules.Jitter)))
	m.is(t, "ejections in a row", e.InARow, wantTimes)
	m.is(t, "ejection time", e.Lasts, wantLasts)
}

// giveUp is a client that goes away, or a claim that no attempt follows.
func (m *machine) giveUp(t *rapid.T) {
	a := m.one(t, func(a *recalled) bool { return !a.reported })
	a.reported = true
	m.Drop(a.round)
}

func (m *machine) finish(t *rapid.T) {
	a := m.one(t, func(a *recalled) bool { return a.open })
	a.open = false
	if m.Complete(a.began); !m.past.stale(a, m.now) {
		m.past.told = append(m.past.told, told{at: m.now, status: complete})
	}
}

func (m *machine) mend(t *rapid.T) {
	since := m.past.latest().since
	failed := rapid.SampledFrom([]int64{0, since - 1, since, since + 1}).Draw(t, "failed")
	if failed > m.now {
		t.Skip("not yet")
	}
	m.is(t, "release", m.Release(m.now, failed), m.past.released(m.now, failed))
}

func (m *machine) check(t *rapid.T) {
	phase, e := m.past.phase(m.now), m.past.latest()
	s := m.State(m.now, true)
	got, until, returned := s.Phase, s.Until, s.Returned
	m.is(t, "phase", got, phase)
	m.is(t, "out, or on probation with its request", m.Busy(m.now), phase == Ejected || phase == Probation && m.past.taken())
	m.is(t, "limited", s.Limited, phase != Serving && e.limited)
	m.is(t, "busy", s.Busy, phase == Probation && m.past.taken())
	if want := e.until; phase == Ejected {
		m.is(t, "until", until, want)
	} else {
		m.is(t, "until", until, int64(0))
	}
	back := int64(0)
	for _, o := range m.past.outs {
		back = max(back, o.back)
	}
	m.is(t, "returned", returned, back)
	if phase == Serving {
		m.is(t, "in a row", m.streaks, m.past.streaks())
	}
	if !m.rules.ByRate() {
		return
	}
	for _, interval := range []int64{m.now/int64(m.rules.Interval) - 1, m.now / int64(m.rules.Interval)} {
		total, failures := m.counted(interval)
		wantTotal, wantFailures := m.past.counted(interval)
		m.is(t, "requests in the interval", total, wantTotal)
		m.is(t, "failures in the interval", failures, wantFailures)
	}
}

func checkEjections(t *testing.T, late bool) {
	rapid.Check(t, func(t *rapid.T) {
		r, failures := drawRules(t)
		m := &machine{Host: &Host{rules: r}, past: past{rules: r, failures: failures}, now: int64(time.Hour), late: late}
		t.Repeat(map[string]func(*rapid.T){
			"": m.check, "wait": m.wait, "begin": m.start, "claim": m.take, "end": m.end, "end too": m.end,
			"client gone": m.giveUp, "complete": m.finish, "check passes": m.mend,
		})
	})
}

func TestEjectionIsWhatThePastMakesIt(t *testing.T) { checkEjections(t, false) }

func TestAttemptsOfAnEarlierProbationCountForNothing(t *testing.T) {
	checkEjections(t, true)
}

func TestOutcomes(t *testing.T) {
	for _, test := range []struct {
		list   string
		status int
		want   Outcome
		counts bool
	}{
		{"5xx", 200, Answered, false},
		{"5xx", 404, Answered, false},
		{"5xx", 500, Failure, true},
		{"5xx", 502, GatewayFailure, true},
		{"5xx", 503, GatewayFailure, true},
		{"5xx", 504, GatewayFailure, true},
		{"5xx", 505, Failure, true},
		{"404 500-502", 404, Failure, true},
		{"404 500-502", 501, Failure, true},
		{"404 500-502", 502, GatewayFailure, true},
		{"404 500-502", 503, GatewayFailure, false},
		{"404 500-502", 505, Answered, false},
	} {
		r := new(Rules)
		var err error
		if r.statuses, err = cfg.ParseStatuses(strings.Fields(test.list)); err != nil {
			t.Fatal(err)
		}
		if o, counts := r.Outcome(test.status); o != test.want || counts != test.counts {
			t.Errorf("%d in %s: %v, %t, want %v, %t", test.status, test.list, o, counts, test.want, test.counts)
		}
	}
}
