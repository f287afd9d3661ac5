package pool

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 500, time.UTC)
	for text, want := range map[string]time.Duration{
		"0":                              0,
		"1":                              time.Second,
		"120":                            2 * time.Minute,
		"Sun, 01 Mar 2026 12:01:00 GMT":  time.Minute - 500,
		"Sun, 01 Mar 2026 11:00:00 GMT":  0,
		"Sunday, 01-Mar-26 12:01:00 GMT": time.Minute - 500,
		"":                               shortestBackOff,
		"soon":                           shortestBackOff,
		"-5":                             shortestBackOff,
		"1.5":                            shortestBackOff,
		"1e3":                            shortestBackOff,
		"0x10":                           shortestBackOff,
		"5 s":                            shortestBackOff,
		"\x00\xff":                       shortestBackOff,
	} {
		if got := retryAfterOf(text, now); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// However long an upstream asks to back off, the cap holds.
func TestHugeRetryAfterIsCapped(t *testing.T) {
	for _, text := range []string{
		"301", "4294967295", "4294967296", "9223372036854775807", "99999999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT",
	} {
		l := Latency{}
		l.backOff(at(0), retryAfterOf(text, time.Now()))
		if got := l.Expect(0, 0, 0, clock(0)); got != longestBackOff {
			t.Errorf("%s: backs off for %v, want %v", text, got, longestBackOff)
		}
	}
}

func TestUpstreamThatAsksToBackOffIsHeldToBeSlowForThatLong(t *testing.T) {
	l := Latency{}
	l.observe(at(0), 10*time.Millisecond, false, time.Second)
	l.backOff(at(0), 20*time.Second)
	l.backOff(at(0), time.Second) // a shorter one takes nothing back
	for _, step := range []struct {
		at   int64 // milliseconds
		want time.Duration
	}{
		{0, 20 * time.Second},
		{5_000, 15 * time.Second},
		{17_000, shortestBackOff},
		{19_999, shortestBackOff},
		{20_000, 10 * time.Millisecond},
	} {
		if got := l.Expect(0, 0, 0, clock(step.at)); got != step.want {
			t.Errorf("at %d: %v, want %v", step.at, got, step.want)
		}
	}
	l.backOff(at(20_000), time.Minute)
	l.forget()
	if got := l.Expect(0, 0, 0, clock(20_000)); got != 0 {
		t.Errorf("forgotten, and still %v", got)
	}
}

// An answer that asks to back off comes faster than one that does the work.
func TestBackOffIsNoSampleOfLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPool(t, Options{}, 1)
		b.serve(0, 1, func(r *http.Request) (*http.Response, error) {
			time.Sleep(80 * time.Millisecond)
			return says(200)(r)
		})
		time.Sleep(time.Second)
		b.serve(0, 5, says(http.StatusTooManyRequests))
		time.Sleep(shortestBackOff)
		if got := b.static.members[0].latency.Expect(0, 0, 0, present); got != 80*time.Millisecond {
			t.Errorf("the latency is held to be %v", got)
		}
	})
}
