package ratelimit

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestOneEventPerSecondIsAllowed(t *testing.T) {
	var p PerSecond
	for _, test := range []struct {
		at   time.Duration
		want bool
	}{
		{time.Hour, true},
		{time.Hour, false},
		{time.Hour + time.Second - 1, false},
		{time.Hour + time.Second, true},
		{time.Hour + 2*time.Second - 1, false},
		{2 * time.Hour, true},
	} {
		if got := p.Allow(int64(test.at)); got != test.want {
			t.Errorf("at %v: %v, want %v", test.at, got, test.want)
		}
	}
}

func TestOfManyEventsAtOnceOneIsAllowed(t *testing.T) {
	var p PerSecond
	var allowed atomic.Int32
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if p.Allow(int64(time.Hour)) {
				allowed.Add(1)
			}
		})
	}
	wg.Wait()
	if n := allowed.Load(); n != 1 {
		t.Errorf("%d are allowed", n)
	}
}
