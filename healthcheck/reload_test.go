package healthcheck

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-evenkeel/evenkeel/internal/app"
)

func TestVerdictOutlivesReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRecorder()
		b.set(0, errFailed)
		old := newConfig(t, `{}`, b.probe).watch(1, nil).start()
		sleep(2 * time.Second)
		if old.verdict() != Unhealthy {
			t.Fatal("not unhealthy before the reload")
		}
		b.set(0, nil)
		next := newConfig(t, `{}`, b.probe).watch(1, nil)
		if next.verdict() != Unhealthy {
			t.Error("healthy as soon as the new configuration is provisioned")
		}
		next.start()
		old.close()
		before := b.count()
		for next.verdict() != Healthy {
			sleep(time.Second)
		}
		if n := b.count() - before; n != 2 {
			t.Errorf("%d passes made it healthy: a reload is no start, and passes is 2", n)
		}
	})
}

func TestFailedReloadLeavesProbesToTheOldConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var byOld, byNew atomic.Int32
		old := newConfig(t, `{}`, func(context.Context, Target) error { byOld.Add(1); return nil }).watch(1, nil).start()
		sleep(10 * time.Second)
		failed := newConfig(t, `{}`, func(context.Context, Target) error { byNew.Add(1); return nil }).watch(1, nil)
		sleep(20 * time.Second)
		failed.close()
		before := byOld.Load()
		sleep(20 * time.Second)
		if byNew.Load() != 0 || byOld.Load() < before+3 || old.verdict() != Healthy {
			t.Errorf("%d probes by the failed configuration; %d by the old one in the end", byNew.Load(), byOld.Load()-before)
		}
	})
}

func TestProbeCutOffByReloadCountsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRecorder()
		config := newConfig(t, `{"interval":"1s","timeout":"900ms"}`, b.probe).watch(1, nil).start()
		sleep(10 * time.Second)
		b.set(time.Hour, nil)
		for range 50 { // each cuts off a probe that hangs
			sleep(500 * time.Millisecond)
			next := newConfig(t, `{"interval":"1s","timeout":"900ms"}`, b.probe).watch(1, nil).start()
			config.close()
			config = next
		}
		if state := config.own[0].State(); state.Verdict != Healthy || state.Fails != 0 {
			t.Errorf("%+v", state)
		}
		sleep(5 * time.Second)
		if config.verdict() != Unhealthy {
			t.Error("with the last reload, the hung upstream should be found out")
		}
	})
}

func TestCloseWaitsForTheProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended atomic.Bool
		began := make(chan struct{}, 1)
		c := newConfig(t, `{"interval":"1s","timeout":"1s"}`, func(ctx context.Context, _ Target) error {
			began <- struct{}{}
			<-ctx.Done()
			time.Sleep(100 * time.Millisecond) // needs a while to tidy up
			ended.Store(true)
			return ctx.Err()
		}).watch(1, nil).start()
		<-began
		c.close()
		if !ended.Load() {
			t.Error("closed while the probe was under way")
		}
	})
}

func TestCheckerThatDoesNotHeedItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConfig(t, `{"interval":"1s","timeout":"1s"}`, func(context.Context, Target) error {
			time.Sleep(time.Minute)
			return nil
		}).watch(1, nil).start()
		sleep(10 * time.Second)
		if c.verdict() != Unhealthy {
			t.Error("a probe without end has not failed")
		}
		began := time.Now()
		c.close()
		if took := time.Since(began); took > 2*app.ClosePatience {
			t.Errorf("closing took %v", took)
		}
		time.Sleep(time.Minute) // for the bubble to end, the checkers must
	})
}

func TestChangedCheckStartsFromTheOldVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRecorder()
		b.set(0, errFailed)
		old := newConfig(t, `{}`, b.probe).watch(1, nil).start()
		sleep(10 * time.Second)
		next := newConfig(t, `{"interval":"7s"}`, b.probe).watch(1, nil)
		if state := next.own[0].State(); state.Verdict != Unhealthy || !state.Decided || state.Fails != 0 {
			t.Errorf("%+v", state)
		}
		other := newConfig(t, `{"interval":"8s","name":"other"}`, b.probe).watch(1, nil)
		if other.verdict() != Healthy {
			t.Error("another check is new to the address")
		}
		old.close()
	})
}

func TestSameCheckOfSameAddressIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRecorder()
		var first, second atomic.Int32
		newConfig(t, `{}`, b.probe).watch(1, func() { first.Add(1) }).start()
		newConfig(t, `{}`, b.probe).watch(1, func() { second.Add(1) }).start()
		sleep(60 * time.Second)
		if n := b.count(); n < 12 || n > 14 {
			t.Errorf("%d probes in a minute, at an interval of 5s", n)
		}
		b.set(0, errFailed)
		sleep(30 * time.Second)
		if first.Load() != 1 || second.Load() != 1 {
			t.Errorf("one flip, told %d and %d times", first.Load(), second.Load())
		}
	})
}

func TestCheckerThatPanicsFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConfig(t, `{}`, func(context.Context, Target) error { panic("oops") }).watch(1, nil).start()
		sleep(2 * time.Second)
		if state := c.own[0].State(); state.Verdict != Unhealthy || state.Reason != "checker panicked: oops" {
			t.Errorf("%+v", state)
		}
	})
}

func TestExpiredWatchEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRecorder()
		c := newConfig(t, `{}`, b.probe)
		until := time.Now().Add(20 * time.Second)
		w, err := c.check.Watch(address(0), func() {}, func(now time.Time) bool { return now.After(until) })
		if err != nil {
			t.Fatal(err)
		}
		c.own = append(c.own, w)
		c.start()
		sleep(20 * time.Second)
		before := b.count()
		if before < 4 || w.Closed() {
			t.Fatalf("%d probes before the end", before)
		}
		sleep(time.Hour)
		if b.count() != before || !w.Closed() {
			t.Errorf("%d probes after the end", b.count()-before)
		}
	})
}

func TestIntervalsByState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRecorder()
		c := newConfig(t, `{"interval":"10s","transition_interval":"1s","down_interval":"60s","jitter":0,"passes":3}`, b.probe)
		c.watch(1, nil).start()
		sleep(100 * time.Second)
		rate := func(d time.Duration) int {
			before := b.count()
			sleep(d)
			return b.count() - before
		}
		if n := rate(100 * time.Second); n != 10 {
			t.Errorf("up: %d probes in 100s", n)
		}
		b.set(0, errors.New("down"))
		if n := rate(13 * time.Second); c.verdict() != Unhealthy || n != 3 {
			t.Errorf("after 13s with three probes, one second apart in the end: %v, %d probes", c.verdict(), n)
		}
		if n := rate(600 * time.Second); n != 10 {
			t.Errorf("down: %d probes in 600s", n)
		}
		b.set(0, nil)
		if n := rate(63 * time.Second); c.verdict() != Healthy || n < 3 {
			t.Errorf("on the way up: %v after %d probes", c.verdict(), n)
		}
	})
}

// A configuration that fails to start, or has ended, leaves no limits behind.
func TestLimitsAreThoseOfTheConfigurationThatServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := func(probes, commands int, when string) {
			t.Helper()
			monitor.mu.Lock()
			defer monitor.mu.Unlock()
			if s := &monitor.slots; s[probeSlots].limit != probes || s[commandSlots].limit != commands {
				t.Errorf("%s: %d probes and %d commands at once", when, s[probeSlots].limit, s[commandSlots].limit)
			}
		}
		configured := func(probes, commands int) *app.App {
			a := &app.App{ProbeConcurrency: probes, ExecConcurrency: commands}
			configurationOf(a)
			return a
		}
		first, failed, second := configured(100, 10), configured(1, 1), configured(200, 20)
		first.Start()
		failed.Start()
		failed.Stop() // another app did not start
		limits(100, 10, "after a reload that failed")
		second.Start()
		first.Stop()
		limits(200, 20, "after a reload")
		second.Stop()
	})
}

// What does not end when it should is not started again and again.
func TestCheckerThatHangsIsNotStartedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most atomic.Int32
		end := make(chan struct{})
		c := newConfig(t, `{"interval":"1s","timeout":"100ms","fails":2}`, func(context.Context, Target) error {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			<-end
			return nil
		}).watch(1, nil).start()
		sleep(time.Minute)
		if n := most.Load(); n != 1 {
			t.Errorf("%d probes of one upstream at once", n)
		}
		if s := c.own[0].State(); s.Verdict != Unhealthy || !strings.Contains(s.Reason, "did not end") {
			t.Errorf("%+v", s)
		}
		close(end)
		sleep(30 * time.Second)
		if c.verdict() != Healthy {
			t.Errorf("%+v, although the checker works again", c.own[0].State())
		}
	})
}
