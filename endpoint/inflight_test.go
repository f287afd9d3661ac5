package endpoint

import "testing"

// Attempts that no pool reads are not kept.
func TestAttemptsThatNoPoolReadsAreNotKept(t *testing.T) {
	var f InFlight
	if f.Begin(new(Entry), 1) || f.Oldest() != 0 {
		t.Error("kept, and no pool reads it")
	}
	f.Read()
	f.Unread()
	if f.Begin(new(Entry), 1) {
		t.Error("kept, and no pool reads it any more")
	}
}

func TestOldestAttemptInFlight(t *testing.T) {
	var f InFlight
	f.Read()
	var first, second, third Entry
	expect := func(when string, want int64) {
		t.Helper()
		if got := f.Oldest(); got != want {
			t.Errorf("%s: %d, want %d", when, got, want)
		}
	}
	f.Begin(&first, 100)
	f.Begin(&second, 150)
	f.Begin(&third, 160)
	expect("three", 100)
	f.End(&second)
	expect("the second has ended", 100)
	f.End(&first)
	expect("the first, too", 160)
	f.Begin(&second, 170)
	f.End(&third)
	expect("the third, too, but another one has begun", 170)
	f.End(&second)
	expect("all", 0)
	if f.first != nil || f.last != nil {
		t.Error("attempts are left in flight")
	}
}
