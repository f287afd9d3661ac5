package healthcheck

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestFirstProbesAreSpreadOverTheFirstSecond(t *testing.T) {
	for _, test := range []struct {
		interval string
		within   time.Duration
	}{{"5s", time.Second}, {"200ms", 200 * time.Millisecond}} {
		synctest.Test(t, func(t *testing.T) {
			b := newRecorder()
			newConfig(t, `{"interval":"`+test.interval+`"}`, b.probe).watch(100, nil).start()
			start := time.Now()
			sleep(test.within)
			halves := [2]int{}
			for i := range 100 {
				if len(b.times[address(i)]) == 0 {
					t.Fatalf("%s was not probed within %v", address(i), test.within)
				}
				if b.times[address(i)][0].Sub(start) < test.within/2 {
					halves[0]++
				} else {
					halves[1]++
				}
			}
			if halves[0] < 40 || halves[1] < 40 {
				t.Errorf("first probes by halves of the time: %v", halves)
			}
		})
	}
}

func TestLaterProbesAreSpreadOverTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const upstreams, interval = 10_000, 5
		b := newRecorder()
		newConfig(t, `{"interval":"5s"}`, b.probe).watch(upstreams, nil).start()
		start := time.Now()
		sleep(60 * time.Second)
		perSecond := make(map[int]int)
		for _, times := range b.times {
			for i, at := range times {
				perSecond[int(at.Sub(start)/time.Second)]++
				if i > 0 && at.Sub(times[i-1]) > interval*time.Second*11/10+tick {
					t.Fatalf("%v between two probes", at.Sub(times[i-1]))
				}
			}
		}
		const share = upstreams / interval
		for second := 1; second < 60; second++ { // the first has the first probes, too
			if n := perSecond[second]; n > 2*share || n < share/2 {
				t.Errorf("%d probes in second %d, the share is %d", n, second, share)
			}
		}
	})
}

func TestProbesBeginWithTheConfigurationOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRecorder()
		newConfig(t, `{}`, b.probe).watch(3, nil)
		sleep(time.Minute)
		if n := b.count(); n != 0 {
			t.Errorf("%d probes of a configuration that was never started", n)
		}
	})
}

func TestProbesAreBoundedAndAllGoOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRecorder()
		b.takes = time.Second
		c := newConfig(t, `{"interval":"10s"}`, b.probe)
		c.check.group.configuration.app.ProbeConcurrency = 7
		c.watch(50, nil).start()
		sleep(11 * time.Second)
		if b.most != 5 { // one pool leaves some free
			t.Errorf("%d probes at once, of 7", b.most)
		}
		if len(b.times) != 50 {
			t.Errorf("%d of 50 upstreams probed", len(b.times))
		}
	})
}

func TestHungUpstreamIsOutInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRecorder()
		var out time.Time
		c := newConfig(t, `{"interval":"5s","timeout":"2s","fails":3,"jitter":10}`, b.probe)
		c.watch(1, func() { out = time.Now() }).start()
		sleep(20 * time.Second)
		for range 20 { // hangs from any moment on
			sleep(1700 * time.Millisecond)
			b.set(time.Hour, nil)
			hung := time.Now()
			sleep(25 * time.Second)
			if c.verdict() != Unhealthy {
				t.Fatal("still healthy after 25s")
			}
			if took := out.Sub(hung); took > 3*(5+2)*time.Second+500*time.Millisecond {
				t.Errorf("out after %v", took)
			}
			if reason := c.own[0].State().Reason; !strings.Contains(reason, "deadline") {
				t.Errorf("reason: %s", reason)
			}
			b.set(0, nil)
			sleep(20 * time.Second)
			if c.verdict() != Healthy {
				t.Fatal("not back after 20s")
			}
		}
	})
}
