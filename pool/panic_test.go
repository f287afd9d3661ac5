package pool

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
	"github.com/caddy-evenkeel/evenkeel/outlier"
)

const (
	entering = "panic: too few upstreams are healthy, so verdicts of checks and ejections are ignored"
	leaving  = "panic is over: verdicts of checks and ejections count again"
)

// throw ejects the upstreams, allowed or not.
func (b *testPool) throw(numbers ...int) {
	for _, i := range numbers {
		h := b.static.members[i].host
		h.Eject(instant.Now(), outlier.Finding{Rule: outlier.ByLocal}, 0)
		h.Changed()
	}
	synctest.Wait()
}

// panicsCounted returns what the metrics say of the pool's panics.
func (b *testPool) panicsCounted(t *testing.T) (entered, left int) {
	t.Helper()
	s := scrape(t, b.Pool)
	of := func(change string) int {
		return int(s[`caddy_load_balancer_panic_changes_total{change="`+change+`",pool="`+b.Name()+`"}`])
	}
	return of("entered"), of("left")
}

func TestPanicIsToldOnceWhateverReloadsThereAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		expect := func(b *testPool, when string, entered, left int) {
			t.Helper()
			if got := b.logs.FilterMessage(entering).Len(); got != entered {
				t.Errorf("%s: logged %d times that it begins, want %d", when, got, entered)
			}
			if got := b.logs.FilterMessage(leaving).Len(); got != left {
				t.Errorf("%s: logged %d times that it ends, want %d", when, got, left)
			}
		}
		half := Options{PanicThreshold: ptr(50.0)}
		first := newPool(t, half, 4)
		enteredBefore, leftBefore := first.panicsCounted(t)
		first.throw(0, 1)
		expect(first, "half are left", 0, 0)
		first.throw(2)
		expect(first, "a quarter is left", 1, 0)
		for range 3 {
			first.changed()
			synctest.Wait()
		}
		expect(first, "a quarter is still left", 1, 0)

		second := reloaded(t, half, 4)
		if err := first.handle.Close(); err != nil {
			t.Fatal(err)
		}
		second.changed()
		synctest.Wait()
		expect(second, "reloaded", 0, 0)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		expect(second, "they are on probation, and so up", 0, 1)
		expect(first, "what is closed says no more", 1, 0)
		if entered, left := second.panicsCounted(t); entered != enteredBefore+1 || left != leftBefore+1 {
			t.Errorf("counted %d times that it begins, and %d times that it ends", entered, left)
		}
	})
}

func TestPanicOfOtherUpstreamsIsAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 2 {
			b := newPool(t, Options{PanicThreshold: ptr(50.0)}, 4)
			b.throw(0, 1, 2)
			if n := b.logs.FilterMessage(entering).Len(); n != 1 {
				t.Errorf("logged %d times", n)
			}
		}
	})
}

func TestPanicEndsWithTheConfigurationThatHadIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		newPool(t, Options{PanicThreshold: ptr(50.0)}, 4).throw(0, 1, 2)
		never := reloaded(t, Options{PanicThreshold: ptr(0.0)}, 4)
		never.changed()
		synctest.Wait()
		if n := never.logs.FilterMessage(leaving).Len(); n != 1 {
			t.Errorf("logged %d times that it ends", n)
		}
	})
}

func TestPanicThreshold(t *testing.T) {
	for _, test := range []struct {
		threshold    *float64
		up, weighted int
		want         bool
	}{
		{nil, 0, 3, true},
		{nil, 1, 3, false},
		{nil, 0, 0, false}, // nobody is there that could be picked
		{ptr(0.0), 0, 3, false},
		{ptr(50.0), 0, 3, true},
		{ptr(50.0), 1, 3, true},
		{ptr(50.0), 1, 2, false},
		{ptr(50.0), 2, 3, false},
		{ptr(100.0), 99, 100, true},
		{ptr(100.0), 100, 100, false},
		{ptr(0.1), 0, 100, true},
		{ptr(0.1), 1, 100, false},
		{ptr(50.0), 0, 0, false},
	} {
		p := &Pool{options: &Options{PanicThreshold: test.threshold}}
		if got := p.panics(census{up: test.up, weighted: test.weighted}); got != test.want {
			threshold, _ := json.Marshal(test.threshold)
			t.Errorf("%d of %d, threshold %s: %t", test.up, test.weighted, threshold, got)
		}
	}
}
