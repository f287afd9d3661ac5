package cache

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// ticks returns an instant, in pairs of ticks from some time on.
func ticks(n int) int64 { return int64(time.Hour) + int64(n)*2*int64(Tick) }

func TestUnusedEntriesExpireFirst(t *testing.T) {
	var c Cache[int, string]
	for i := range 10 {
		c.Put(i, NewEntry(fmt.Sprint(i), 1, ticks(i)), 100, 100)
	}
	c.Get(3).Use(ticks(20))
	expect := func(gone []string, wantGone, wantCount, wantSize int) {
		t.Helper()
		if count, size := c.Len(); len(gone) != wantGone || count != wantCount || size != wantSize {
			t.Errorf("gone: %v, %d left of size %d", gone, count, size)
		}
	}
	expect(c.Expire(ticks(8)), 7, 3, 3)
	gone := c.Put(3, NewEntry("three", 5, ticks(21)), 100, 100)
	expect(gone, 1, 3, 7)
	if !slices.Equal(gone, []string{"3"}) {
		t.Errorf("replaced: %v", gone)
	}
	expect(c.Put(11, NewEntry("large", 1000, ticks(22)), 100, 100), 3, 1, 1000)
}

func TestKeysUsedOnceDoNotEvictThoseUsedAgain(t *testing.T) {
	var c Cache[string, string]
	for _, key := range []string{"a", "b"} {
		c.Put(key, NewEntry(key, 1, ticks(0)), 10, 10)
		c.Get(key).Use(ticks(1))
	}
	for i := range 100 {
		key := fmt.Sprint(i)
		c.Put(key, NewEntry(key, 1, ticks(2+i)), 10, 10)
	}
	if count, _ := c.Len(); c.Get("a") == nil || c.Get("b") == nil || count > 10 {
		t.Errorf("%d entries, a: %v, b: %v", count, c.Get("a"), c.Get("b"))
	}
	for _, key := range []string{"c", "d", "e", "f", "g", "h", "i", "j", "k"} { // used longer, too, and later
		c.Put(key, NewEntry(key, 1, ticks(200)), 10, 10)
		c.Get(key).Use(ticks(202))
	}
	if c.Get("a") != nil || c.Get("k") == nil {
		t.Error("the least recently used stays")
	}
}

func TestUseIsCountedOncePerTick(t *testing.T) {
	e := NewEntry("", 1, ticks(0))
	if e.Use(ticks(0)) || e.Use(ticks(0)+int64(Tick)) || !e.Use(ticks(1)) || e.Use(ticks(1)) {
		t.Error("a use within a tick of another counts, or one after it does not")
	}
}

func TestEachStopsWhenTold(t *testing.T) {
	var c Cache[int, int]
	for i := range 5 {
		c.Put(i, NewEntry(i, 1, ticks(0)), 10, 10)
	}
	seen := 0
	c.Each(func(int) bool { seen++; return seen < 3 })
	if seen != 3 {
		t.Errorf("%d are seen", seen)
	}
}

func TestDropRemovesWhatIsUnwanted(t *testing.T) {
	var c Cache[int, string]
	for i, value := range []string{"a", "b", "a"} {
		c.Put(i, NewEntry(value, i+1, ticks(0)), 10, 10)
	}
	gone := c.Drop(func(value string) bool { return value == "a" })
	if count, size := c.Len(); len(gone) != 2 || count != 1 || size != 2 || c.Get(1) == nil {
		t.Errorf("gone: %v, %d left of size %d", gone, count, size)
	}
}
