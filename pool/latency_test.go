package pool

import (
	"math"
	"testing"
	"time"
	"unsafe"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
)

// at returns an instant, in milliseconds from some time on.
func at(ms int64) int64 { return int64(time.Hour) + ms*int64(time.Millisecond) }

func clock(ms int64) func() int64 { return func() int64 { return at(ms) } }

func present() int64 { return instant.Now() }

func TestFailedAttemptCountsAsASecondOrTwiceTheEstimate(t *testing.T) {
	l := Latency{}
	never := func() int64 { t.Fatal("asked for the time"); return 0 }
	l.observe(at(0), 10*time.Millisecond, false, time.Second)
	for i, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
		l.observe(at(int64(i+1)), time.Millisecond, true, time.Second)
		if got := l.Expect(0, 0, 0, never); got != want {
			t.Errorf("after %d failures: %v, want %v", i+1, got, want)
		}
	}
	l.observe(at(10), 30*time.Second, true, time.Second) // a timeout took longer than its penalty
	if got := l.Expect(0, 0, 0, never); got != 30*time.Second {
		t.Errorf("%v", got)
	}
	l.observe(at(60_000), 5*time.Millisecond, false, time.Second)
	if got := l.Expect(0, 0, 0, never); got > 6*time.Millisecond {
		t.Errorf("a minute later one answer should have wiped that out: %v", got)
	}
	l.forget()
	if got := l.Expect(0, 0, 0, never); got != 0 {
		t.Errorf("%v", got)
	}
}

func TestNoiseIsHowFarSamplesAreFromTheEstimate(t *testing.T) {
	l := Latency{}
	expect := func(want time.Duration) {
		t.Helper()
		if got := l.Noise(); got != want {
			t.Errorf("%v, want %v", got, want)
		}
	}
	expect(math.MaxInt64)
	l.observe(at(0), 10*time.Millisecond, false, time.Second)
	expect(5 * time.Millisecond)
	l.observe(at(0), 19*time.Millisecond, false, time.Second)
	expect(6 * time.Millisecond)
	l.forget()
	expect(math.MaxInt64)
}

func TestEstimateIsTheAgeOfTheOldestAttemptOnceThatIsMore(t *testing.T) {
	l := Latency{}
	l.observe(at(0), 10*time.Millisecond, false, time.Second)
	for _, step := range []struct {
		oldest, at int64
		want       time.Duration
	}{{100, 105, 10}, {100, 180, 80}, {160, 200, 40}} {
		if got := l.Expect(0, 0, at(step.oldest), clock(step.at)); got != step.want*time.Millisecond {
			t.Errorf("at %d: %v, want %v", step.at, got, step.want*time.Millisecond)
		}
	}
}

func TestNewcomerAndLongUnheardOfAreHeldToBeAsFastAsTheFleet(t *testing.T) {
	l := Latency{}
	const mean, idle = 20 * time.Millisecond, -1
	expect := func(what string, since, oldest, now int64, want time.Duration) {
		t.Helper()
		if oldest != idle {
			oldest = at(oldest)
		} else {
			oldest = 0
		}
		if got := l.Expect(mean, at(since), oldest, clock(now)); got != want*time.Millisecond {
			t.Errorf("%s: %v, want %v", what, got, want*time.Millisecond)
		}
	}
	expect("newcomer", 0, idle, 0, 20)
	expect("newcomer with a young attempt", 0, 0, 5, 20)
	expect("newcomer with an old attempt", 0, 0, 50, 50)
	l.observe(at(100), 70*time.Millisecond, false, time.Second)
	expect("heard of", 100, idle, 0, 70)
	expect("not heard of", 101, idle, 0, 20)
	expect("not heard of, but about to be", 201, 200, 210, 70)
}

func TestFleetMeanFollowsSamples(t *testing.T) {
	var f fleet
	f.observe(at(0), 8*time.Millisecond)
	if f.mean.Load() != int64(8*time.Millisecond) {
		t.Errorf("first sample: %d", f.mean.Load())
	}
	for range 500 {
		f.observe(at(1), 2*time.Millisecond)
	}
	if mean := time.Duration(f.mean.Load()); mean < 2*time.Millisecond || mean > 2100*time.Microsecond {
		t.Errorf("after many samples of 2ms: %v", mean)
	}
}

func TestLatencyFillsACacheLine(t *testing.T) {
	if size := unsafe.Sizeof(Latency{}); unsafe.Sizeof(uintptr(0)) == 8 && size != 64 {
		t.Errorf("%d bytes", size)
	}
}
