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

// begin begins an attempt at the given time, in milliseconds, which somebody heeds.
func begin(l *Latency, ms int64) *attempt {
	l.flights.readers.Store(1)
	a := new(attempt)
	l.begin(a, at(ms))
	return a
}

// Nobody keeps what nobody reads.
func TestAttemptsThatNobodyHeedsAreNotTracked(t *testing.T) {
	l := Latency{flights: new(inFlight)}
	if l.begin(new(attempt), at(0)) || l.flights.first != nil {
		t.Error("tracked, and no pool heeds it")
	}
}

func TestEstimateIsTheAgeOfTheOldestAttemptOnceThatIsMore(t *testing.T) {
	l := Latency{flights: new(inFlight)}
	l.observe(at(0), 10*time.Millisecond, false, time.Second)
	first := begin(&l, 100)
	second := begin(&l, 150)
	third := begin(&l, 160)
	for _, step := range []struct {
		end  *attempt
		at   int64
		want time.Duration
	}{
		{nil, 105, 10},
		{nil, 180, 80},
		{second, 200, 100}, // the oldest is still there
		{first, 200, 40},
		{third, 200, 10},
	} {
		if step.end != nil {
			l.end(step.end)
		}
		if got := l.Expect(0, 0, clock(step.at)); got != step.want*time.Millisecond {
			t.Errorf("at %d: %v, want %v", step.at, got, step.want*time.Millisecond)
		}
	}
	if l.flights.first != nil || l.flights.last != nil {
		t.Error("attempts are left in flight")
	}
}

func TestFailedAttemptCountsAsASecondOrTwiceTheEstimate(t *testing.T) {
	l := Latency{flights: new(inFlight)}
	never := func() int64 { t.Fatal("asked for the time"); return 0 }
	l.observe(at(0), 10*time.Millisecond, false, time.Second)
	for i, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
		l.observe(at(int64(i+1)), time.Millisecond, true, time.Second)
		if got := l.Expect(0, 0, never); got != want {
			t.Errorf("after %d failures: %v, want %v", i+1, got, want)
		}
	}
	l.observe(at(10), 30*time.Second, true, time.Second) // a timeout took longer than its penalty
	if got := l.Expect(0, 0, never); got != 30*time.Second {
		t.Errorf("%v", got)
	}
	l.observe(at(60_000), 5*time.Millisecond, false, time.Second)
	if got := l.Expect(0, 0, never); got > 6*time.Millisecond {
		t.Errorf("a minute later one answer should have wiped that out: %v", got)
	}
	l.forget()
	if got := l.Expect(0, 0, never); got != 0 {
		t.Errorf("%v", got)
	}
}

func TestNoiseIsHowFarSamplesAreFromTheEstimate(t *testing.T) {
	l := Latency{flights: new(inFlight)}
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

func TestNewcomerAndLongUnheardOfAreHeldToBeAsFastAsTheFleet(t *testing.T) {
	l := Latency{flights: new(inFlight)}
	const mean = 20 * time.Millisecond
	expect := func(what string, since, now int64, want time.Duration) {
		t.Helper()
		if got := l.Expect(mean, at(since), clock(now)); got != want*time.Millisecond {
			t.Errorf("%s: %v, want %v", what, got, want*time.Millisecond)
		}
	}
	expect("newcomer", 0, 0, 20)
	a := begin(&l, 0)
	expect("newcomer with a young attempt", 0, 5, 20)
	expect("newcomer with an old attempt", 0, 50, 50)
	l.end(a)
	l.observe(at(100), 70*time.Millisecond, false, time.Second)
	expect("heard of", 100, 0, 70)
	expect("not heard of", 101, 0, 20)
	begin(&l, 200)
	expect("not heard of, but about to be", 201, 210, 70)
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
	for what, size := range map[string]uintptr{"Latency": unsafe.Sizeof(Latency{}), "endpoint": unsafe.Sizeof(endpoint{})} {
		if unsafe.Sizeof(uintptr(0)) == 8 && size != 64 {
			t.Errorf("%s: %d bytes", what, size)
		}
	}
}
