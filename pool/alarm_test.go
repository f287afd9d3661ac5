package pool

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// rings returns an alarm and, when called, the seconds at which it has rung so far.
func rings() (a *alarm, rung func() []int) {
	began := time.Now()
	var mu sync.Mutex
	var seconds []int
	a = &alarm{ring: func() {
		mu.Lock()
		defer mu.Unlock()
		seconds = append(seconds, int(time.Since(began)/time.Second))
	}}
	return a, func() []int {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(seconds)
	}
}

// in returns the instant so many seconds from now.
func in(seconds int) int64 {
	return instant(time.Now().Add(time.Duration(seconds) * time.Second))
}

func TestAlarmRingsAtTheEarliestInstant(t *testing.T) {
	for name, test := range map[string]struct {
		instants []int // seconds; below zero for the instant zero, which is never
		want     []int
	}{
		"one":                {[]int{5}, []int{5}},
		"never":              {[]int{-1}, nil},
		"earlier ones later": {[]int{9, 5, 3}, []int{3}},
		"later ones later":   {[]int{3, 5, 9}, []int{3}},
		"never after one":    {[]int{3, -1}, []int{3}},
		"now":                {[]int{7, 0}, []int{0}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, rung := rings()
				for _, s := range test.instants {
					if s < 0 {
						a.before(0)
						continue
					}
					a.before(in(s))
				}
				time.Sleep(time.Hour)
				if got := rung(); !slices.Equal(got, test.want) {
					t.Errorf("it rings at %v, want %v", got, test.want)
				}
			})
		})
	}
}

func TestAlarmIsSetAnewOnceItHasRung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, rung := rings()
		ring := a.ring
		var times atomic.Int32
		a.ring = func() { // as building a snapshot does
			ring()
			if times.Add(1) < 3 {
				a.before(in(10))
			}
		}
		a.before(in(2))
		time.Sleep(time.Minute)
		a.before(in(-5)) // an instant that is over
		if got, want := rung(), []int{2, 12, 22, 60}; !slices.Equal(got, want) {
			t.Errorf("it rings at %v, want %v", got, want)
		}
	})
}

func TestClosedAlarmDoesNotRing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, rung := rings()
		a.before(in(2))
		time.Sleep(time.Second)
		a.close()
		a.before(in(1))
		a.close()
		time.Sleep(time.Hour)
		if got := rung(); len(got) > 0 {
			t.Errorf("it rings at %v", got)
		}
	})
}

func TestAlarmSetByManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, rung := rings()
		var wg sync.WaitGroup
		for i := range 200 {
			at := in(5 + (i*37)%200)
			wg.Go(func() { a.before(at) })
		}
		wg.Wait()
		time.Sleep(time.Hour)
		if got := rung(); !slices.Equal(got, []int{5}) {
			t.Errorf("it rings at %v", got)
		}
	})
}
