package integration

import (
	"fmt"
	"testing"
	"time"
)

// TestRollingRestarts has all upstreams restarted, one after the other, with
// nothing configured but the policy: no GET may fail.
func TestRollingRestarts(t *testing.T) {
	t.Parallel() // its subtests are in processes of their own
	rounds := atLength([]struct{ upstreams, rate int }{{2, 100}, {3, 100}}, []struct{ upstreams, rate int }{
		{2, 30}, {2, 300}, {3, 30}, {3, 300}, {5, 30}, {5, 300},
	})
	names := atLength([]string{"smooth_weighted_round_robin"}, []string{
		"smooth_weighted_round_robin", "weighted_random", "least_request", "peak_ewma",
		"rendezvous {path}", "maglev {path}", "ring_hash {path}", "sticky", "managed random",
	})
	for _, name := range names {
		for _, r := range rounds {
			t.Run(fmt.Sprintf("%s, %d at %d per second", name, r.upstreams, r.rate), func(t *testing.T) {
				if forked(t) {
					return
				}
				b := backends(t, []string{"a", "b", "c", "d", "e"}[:r.upstreams]...)
				p := run(t, "reverse_proxy "+addrs(b...)+" {\n lb_policy "+name+"\n}")
				l := p.load(r.rate)
				l.awaitMore(t, r.rate/2)
				for _, restarted := range b {
					restarted.stop()
					l.last(time.Second)
					restarted.start(t)
					l.awaitMore(t, r.rate/4) // the next one goes before much is known of this one
				}
				l.awaitMore(t, r.rate)
				expectNoFailure(t, l.stop())
			})
		}
	}
}

// TestWhenAllAreDownAndOneIsBackAnotherMayDie has upstreams die in turn until
// none is left, and an outage that lasts longer than ejections do. From the
// moment that one is back no GET may fail, whoever dies next.
func TestWhenAllAreDownAndOneIsBackAnotherMayDie(t *testing.T) {
	if forked(t) {
		return
	}
	options := atLength("outlier_detection {\n base_ejection_time 2500ms\n}", "")
	for _, name := range atLength([]string{"least_request"}, []string{"smooth_weighted_round_robin", "least_request", "peak_ewma"}) {
		t.Run(name, func(t *testing.T) {
			b := backends(t, "a", "b", "c")
			p := run(t, policy(addrs(b...), name, options))
			l := p.load(100)
			l.awaitMore(t, 50)
			for _, dying := range b {
				dying.stop()
				l.awaitMore(t, 50)
			}
			l.last(atLength(3*time.Second, 36*time.Second))
			b[0].start(t)
			back := time.Now().Add(500 * time.Millisecond) // by then the plugin has connected to it
			l.awaitMore(t, 100)
			b[1].start(t)
			l.awaitMore(t, 100)
			b[0].stop()
			l.awaitMore(t, 100)
			b[2].start(t)
			l.awaitMore(t, 100)
			b[1].stop()
			l.awaitMore(t, 100)
			l.stop()
			after := l.history.between(back, time.Time{})
			t.Logf("%d requests from then on, %d failed; %d failed during the outage",
				len(after), after.failures(), l.history.failures()-after.failures())
			if after.failures() > 0 {
				t.Errorf("%d of %d failed, although one was there to serve them", after.failures(), len(after))
			}
		})
	}
}

// awaitMore waits until so many more requests have been answered or have failed.
func (l *barrage) awaitMore(t *testing.T, n int) {
	t.Helper()
	n += l.made()
	eventually(t, time.Minute, "further requests", func() bool { return l.made() >= n })
}

func expectNoFailure(t *testing.T, counts tally) {
	t.Helper()
	t.Log(counts)
	if n := counts.failures(); n > 0 {
		t.Errorf("%d of %d requests failed", n, counts.total())
	}
}
