package healthcheck

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zapcore"
)

func TestOrdersAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r, e := newReporting(t, "")
		const where = " map[check:test from:%s host:10.0.0.0:80 to:%s upstream:10.0.0.0:80]"
		for _, step := range []struct {
			order    Order
			from, to string
		}{
			{Order{Mode: Ready, Weight: WeightOrder{100, Percent}}, "", ""}, // as it is anyway
			{Order{Weight: WeightOrder{50, Percent}}, "none", "weight 50%"},
			{Order{Mode: Drain}, "weight 50%", "drain, weight 50%"},
			{Order{}, "", ""},
			{Order{Mode: Ready, Limit: 7}, "drain, weight 50%", "weight 50%, limit 7"},
			{Order{Weight: WeightOrder{100, Percent}, Limit: NoLimit}, "weight 50%, limit 7", "none"},
		} {
			r.set(ordering(step.order), nil)
			sleep(time.Second)
			if step.from == "" {
				e.expect(t, 0)
			} else {
				e.expect(t, 1, "orders_changed"+fmt.Sprintf(where, step.from, step.to))
			}
		}
		if s := c.own[0].State(); s.Verdict != Healthy || s.Passes != 0 || s.Fails != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestAbstainingLeavesTheVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r, e := newReporting(t, `,"fails":2`)
		for _, step := range []struct {
			report        Report
			err           error
			verdict       Verdict
			passes, fails int
			flips         int
		}{
			{neutral, errFailed, Healthy, 0, 0, 0},
			{neutral, nil, Healthy, 0, 0, 0},
			{up, errFailed, Unhealthy, 0, 1, 1}, // decides at once
			{neutral, nil, Unhealthy, 0, 1, 0},
			{Report{}, nil, Unhealthy, 1, 0, 0}, // counts
			{neutral, errFailed, Unhealthy, 1, 0, 0},
			{up, nil, Healthy, 2, 0, 1},
			{Report{}, errFailed, Healthy, 0, 1, 0},
			{neutral, nil, Healthy, 0, 1, 0},
			{Report{}, errFailed, Unhealthy, 0, 2, 1},
			{up, nil, Healthy, 1, 0, 1},
		} {
			r.set(step.report, step.err)
			sleep(time.Second)
			s := c.own[0].State()
			if s.Verdict != step.verdict || s.Passes != step.passes || s.Fails != step.fails {
				t.Errorf("%+v after %+v", s, step)
			}
			if e.notified != step.flips || len(e.events) != step.flips {
				t.Errorf("notified %d times, %q, after %+v", e.notified, e.events, step)
			}
			e.notified, e.events = 0, nil
		}
	})
}

func TestAbstainingProvesWhatIsChecking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r, e := newReporting(t, `,"initial":"checking"`)
		sleep(time.Minute)
		if s := c.own[0].State(); s.Verdict != Checking || !s.Unproven || s.Decided || s.Probed.IsZero() {
			t.Errorf("%+v", s)
		}
		e.expect(t, 0)
		r.set(neutral, nil)
		sleep(time.Second)
		if s := c.own[0].State(); s.Verdict != Healthy || s.Unproven || !s.Decided || s.Passes != 0 || !s.Recovered.IsZero() {
			t.Errorf("%+v", s)
		}
		if e.notified != 1 {
			t.Errorf("notified %d times", e.notified)
		}
	})
}

// One that is unproven counts for nothing; one that is unhealthy does when too
// few are left.
func TestFirstPassIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r, e := newReporting(t, `,"initial":"checking"`)
		for i, step := range []struct {
			err      error
			unproven bool
			notified int
		}{{errFailed, true, 1}, {errFailed, true, 0}, {nil, false, 1}, {errFailed, false, 0}, {nil, false, 0}} {
			r.set(Report{}, step.err)
			sleep(time.Second)
			if s := c.own[0].State(); s.Verdict != Unhealthy || s.Unproven != step.unproven || e.notified != step.notified {
				t.Errorf("step %d: %+v, notified %d times", i, s, e.notified)
			}
			e.notified = 0
		}
	})
}

func TestMendedIsToldOncePerRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r, e := newReporting(t, `,"passes":2,"fails":3`)
		state := func() State { return c.own[0].State() }
		for i, step := range []struct {
			err    error
			mended bool
		}{
			{nil, false}, {nil, false}, {nil, false}, // nothing to mend
			{errFailed, false}, {nil, false}, {errFailed, false}, {errFailed, false}, {nil, false},
			{nil, true}, {nil, false}, {nil, false},
			{errFailed, false}, {nil, false}, {nil, true}, {nil, false},
		} {
			before := state()
			r.set(Report{}, step.err)
			sleep(time.Second)
			s := state()
			if s.Mended != before.Mended != step.mended || step.mended && s.Mended != s.Probed {
				t.Errorf("step %d: %+v", i, s)
			}
			if (s.Failed == s.Probed) != (step.err != nil) {
				t.Errorf("step %d: failed at %v, probed at %v", i, s.Failed, s.Probed)
			}
			notified := 0
			if step.mended {
				notified = 1
			}
			e.expect(t, notified)
		}
	})
}

func TestWarningsAreLoggedWhenTheyChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, r, e := newReporting(t, "")
		for i, step := range []struct {
			warning string
			err     error
			logged  bool
		}{
			{"a", nil, true}, {"a", nil, false}, {"b", nil, true}, {"b", errFailed, false},
			{"", errFailed, false}, {"b", nil, false}, // in between, nothing was learnt
			{"", nil, false}, {"b", nil, true},
		} {
			r.set(Report{Force: Abstains, Warning: step.warning}, step.err)
			sleep(time.Second)
			lines := e.logs.FilterLevelExact(zapcore.WarnLevel).TakeAll()
			if (len(lines) == 1) != step.logged || len(lines) > 1 || step.logged && lines[0].ContextMap()["warning"] != step.warning {
				t.Errorf("step %d: %v", i, lines)
			}
			e.logs.TakeAll()
		}
	})
}

func TestOrdersOutliveAChangeOfTheCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r, _ := newReporting(t, "")
		r.set(Report{Force: Abstains, Order: Order{Mode: Maint}}, errors.New("says maint"))
		sleep(time.Second)
		if s := c.own[0].State(); !s.Orders.Maint() || s.Decided {
			t.Fatalf("%+v", s)
		}
		same := newConfig(t, `{"interval":"7s","on_response":{}}`, nil).watch(1, nil)
		if s := same.own[0].State(); !s.Orders.Maint() {
			t.Errorf("a changed check: %+v", s)
		}
		same.close()
		other := newConfig(t, `{"interval":"7s"}`, nil)
		other.check.kind = "another"
		if s := other.watch(1, nil).own[0].State(); s.Orders != (Orders{}) {
			t.Errorf("another kind of check, that could not undo them: %+v", s)
		}
	})
}

func TestOrdersOfDynamicUpstreamsAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		watch := func(options string) *config {
			c := newConfig(t, options, nil)
			r := new(reporting)
			r.set(ordering(Order{Mode: Drain}), nil)
			c.check.checker = r
			w, err := c.check.Watch(address(0), func() {}, func(time.Time) bool { return false })
			if err != nil {
				t.Fatal(err)
			}
			c.own = append(c.own, w)
			return c
		}
		c := watch(`{}`).start()
		sleep(time.Second)
		c.close() // before the next configuration has had a request
		c = watch(`{"interval":"7s"}`)
		if s := c.own[0].State(); s.Orders.Out() != "drained by its agent" {
			t.Errorf("%+v", s)
		}
	})
}
