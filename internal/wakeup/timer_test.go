package wakeup

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
)

// recorder returns a timer, and a function that returns the seconds at which it
// has run so far.
func recorder() (timer *Timer, runs func() []int) {
	began := time.Now()
	var mu sync.Mutex
	var seconds []int
	timer = &Timer{Run: func() {
		mu.Lock()
		defer mu.Unlock()
		seconds = append(seconds, int(time.Since(began)/time.Second))
	}}
	return timer, func() []int {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(seconds)
	}
}

// in returns the instant so many seconds from now.
func in(seconds int) int64 {
	return instant.Of(time.Now().Add(time.Duration(seconds) * time.Second))
}

func TestTimerRunsAtTheEarliestInstant(t *testing.T) {
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
				timer, runs := recorder()
				for _, s := range test.instants {
					if s < 0 {
						timer.Before(0)
						continue
					}
					timer.Before(in(s))
				}
				time.Sleep(time.Hour)
				if got := runs(); !slices.Equal(got, test.want) {
					t.Errorf("it runs at %v, want %v", got, test.want)
				}
			})
		})
	}
}

func TestTimerIsSetAgainOnceItHasRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		timer, runs := recorder()
		record := timer.Run
		var times atomic.Int32
		timer.Run = func() { // as building a snapshot does
			record()
			if times.Add(1) < 3 {
				timer.Before(in(10))
			}
		}
		timer.Before(in(2))
		time.Sleep(time.Minute)
		timer.Before(in(-5)) // an instant that is over
		if got, want := runs(), []int{2, 12, 22, 60}; !slices.Equal(got, want) {
			t.Errorf("it runs at %v, want %v", got, want)
		}
	})
}

func TestClosedTimerDoesNotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		timer, runs := recorder()
		timer.Before(in(2))
		time.Sleep(time.Second)
		timer.Close()
		timer.Before(in(1))
		timer.Close()
		time.Sleep(time.Hour)
		if got := runs(); len(got) > 0 {
			t.Errorf("it runs at %v", got)
		}
	})
}

func TestTimerSetByManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		timer, runs := recorder()
		var wg sync.WaitGroup
		for i := range 200 {
			at := in(5 + (i*37)%200)
			wg.Go(func() { timer.Before(at) })
		}
		wg.Wait()
		time.Sleep(time.Hour)
		if got := runs(); !slices.Equal(got, []int{5}) {
			t.Errorf("it runs at %v", got)
		}
	})
}
