package healthcheck

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestDynamicVerdictIsRememberedForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRecorder()
		b.set(0, errFailed)
		watch := func(options string) *config {
			c := newConfig(t, options, b.probe)
			w, err := c.check.Watch(address(0), func() {}, func(time.Time) bool { return false })
			if err != nil {
				t.Fatal(err)
			}
			c.own = append(c.own, w)
			return c
		}
		old := watch(`{}`).start()
		sleep(12 * time.Second)
		fails := old.own[0].State().Fails
		old.close() // before the next configuration has had a request
		sleep(time.Minute)
		state := func(options string) State {
			c := watch(options)
			defer c.close()
			return c.own[0].State()
		}
		if state := state(`{}`); state.Verdict != Unhealthy || !state.Decided || state.Fails != fails {
			t.Errorf("the same check: %+v", state)
		}
		if state := state(`{"interval":"7s"}`); state.Verdict != Unhealthy || state.Fails != 0 {
			t.Errorf("a changed check: %+v", state)
		}
		sleep(6 * time.Minute)
		if state := state(`{"interval":"8s"}`); state.Decided {
			t.Errorf("after dynamic_expiry: %+v", state)
		}
	})
}

// Two pools may have checks of one name and other options on one address: each finds
// its own verdict again, whichever was closed last.
func TestRememberedVerdictIsThatOfTheSameCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		well, down := newRecorder(), newRecorder()
		down.set(0, errFailed)
		watch := func(b *recorder, options string) *config {
			c := newConfig(t, options, b.probe)
			w, err := c.check.Watch(address(0), func() {}, func(time.Time) bool { return false })
			if err != nil {
				t.Fatal(err)
			}
			c.own = append(c.own, w)
			return c
		}
		one, other := watch(well, `{"interval":"6s"}`).start(), watch(down, `{"interval":"7s"}`).start()
		sleep(30 * time.Second)
		one.close()
		other.close()
		next := watch(well, `{"interval":"6s"}`)
		if next.verdict() != Healthy {
			t.Error("another check's verdict is taken for this one's")
		}
		next.close()
		if c := watch(down, `{"interval":"7s"}`); c.verdict() != Unhealthy {
			t.Error("the verdict is forgotten")
		}
	})
}

// A site with the address in its configuration may share the check, and go with the
// same reload.
func TestDynamicVerdictIsRememberedWhoeverElseHadIt(t *testing.T) {
	for _, last := range []string{"dynamic", "static"} {
		synctest.Test(t, func(t *testing.T) {
			b := newRecorder()
			b.set(0, errFailed)
			static := newConfig(t, `{}`, b.probe).watch(1, nil).start()
			dynamic := newConfig(t, `{}`, b.probe)
			w, err := dynamic.check.Watch(address(0), func() {}, func(time.Time) bool { return false })
			if err != nil {
				t.Fatal(err)
			}
			dynamic.own = append(dynamic.own, w)
			dynamic.start()
			sleep(30 * time.Second)
			if last == "static" {
				dynamic.close()
				static.close()
			} else {
				static.close()
				dynamic.close()
			}
			if c := newConfig(t, `{}`, b.probe).watch(1, nil); c.verdict() != Unhealthy {
				t.Errorf("the verdict is forgotten where the %s site is closed last", last)
			}
		})
	}
}
