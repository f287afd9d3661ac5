package healthcheck

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-evenkeel/evenkeel/internal/app"
)

// Two sites have a check of the same name on one upstream. The second comes with
// a reload that leaves the first as it is, and knows nothing of its verdict.
func TestNewCheckTakesOverNothingOfAnotherThatStays(t *testing.T) {
	for _, newFirst := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			b := newRecorder()
			b.set(0, errFailed)
			old := newConfig(t, `{}`, b.probe).watch(1, nil).start()
			sleep(10 * time.Second)
			told := 0
			next := newConfig(t, `{"port":81}`, newRecorder().probe)
			kept := *next.check
			kept.key, kept.Port, kept.checker = old.check.key, 0, old.check.checker
			watchKept := func() *Watch {
				w, err := kept.Watch(address(0), func() {}, nil)
				if err != nil {
					t.Fatal(err)
				}
				return w
			}
			var w *Watch
			if newFirst {
				next.watch(1, func() { told++ })
				w = watchKept()
			} else {
				w = watchKept()
				next.watch(1, func() { told++ })
			}
			next.own = append(next.own, w)
			next.start()
			if s := next.own[0].State(); s.Verdict != Healthy || s.Decided {
				t.Errorf("new first: %v; the new check begins as %+v", newFirst, s)
			}
			if newFirst && told == 0 {
				t.Error("notify was not called when the inherited state was revoked")
			}
			if w.State().Verdict != Unhealthy {
				t.Error("the check that stays has lost its verdict")
			}
			old.close()
		})
	}
}

// 10,000 sites may check one address, each in its own way.
func BenchmarkManyChecksOfOneAddress(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				m := NewMonitor()
				watchAll := func() (watches []*Watch) {
					group := &Group{configuration: configurationOf(&app.App{DynamicExpiry: 1})}
					for i := range n {
						c := &Check{Name: "http", key: fmt.Sprint(i), group: group, Interval: 1e9}
						watches = append(watches, m.watch(c, Target{Upstream: "10.0.0.1:80"}, func() {}, nil))
					}
					return watches
				}
				old := watchAll()
				reloaded := watchAll()
				m.closeAll(old, time.Time{})
				m.closeAll(reloaded, time.Time{})
			}
		})
	}
}
