package pool

import (
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestWhatIsKnownIsSharedWhileInUseAndKeptForAWhile(t *testing.T) {
	var r registry[string, int]
	const minute = int64(time.Minute)
	acquire := func(key string, now int64) *int {
		return r.acquire(key, now, func() *int { return new(int) })
	}
	a, b := acquire("a", minute), acquire("a", minute)
	if a != b {
		t.Error("two values under one key")
	}
	r.release("a", minute)
	acquire("b", 20*minute)
	if r.entries["a"] == nil {
		t.Error("gone although in use")
	}
	r.release("a", 20*minute)
	r.release("a", 20*minute) // once too often
	if got := acquire("a", 24*minute); got != a {
		t.Error("gone although it was in use a while ago")
	}
	r.release("a", 24*minute)
	acquire("c", 30*minute)
	if r.entries["a"] != nil || r.entries["b"] == nil {
		t.Error("what nobody has used for long should be gone, and nothing else")
	}
}

// What anybody holds stays what it is, and what nobody has held for so long is
// gone after the next sweep.
func TestRegistryAgainstItsHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r registry[string, int]
		type record struct {
			value    *int
			held     int
			released int64
		}
		records := make(map[string]*record)
		now, swept := int64(0), int64(0)
		key := rapid.SampledFrom([]string{"a", "b", "c"})
		sweep := func() {
			if now-swept < keep {
				return
			}
			swept = now
			for k, rec := range records {
				if rec.held == 0 && now-rec.released >= keep {
					delete(records, k)
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				if len(r.entries) != len(records) {
					t.Fatalf("%d entries, want %d", len(r.entries), len(records))
				}
			},
			"wait": func(t *rapid.T) {
				now += rapid.SampledFrom([]int64{1, keep / 2, keep - 1, keep, 3 * keep}).Draw(t, "step")
			},
			"acquire": func(t *rapid.T) {
				k := key.Draw(t, "key")
				sweep()
				made := false
				got := r.acquire(k, now, func() *int { made = true; return new(int) })
				rec := records[k]
				if rec == nil {
					rec = &record{value: got}
					records[k] = rec
				} else if made || got != rec.value {
					t.Fatalf("%s was made anew", k)
				}
				rec.held++
			},
			"release": func(t *rapid.T) {
				k := key.Draw(t, "key")
				sweep()
				r.release(k, now)
				if rec := records[k]; rec != nil && rec.held > 0 {
					rec.held--
					rec.released = now
				}
			},
		})
	})
}

func TestRegistryGivesAllTheSame(t *testing.T) {
	var r registry[int, int]
	var wg sync.WaitGroup
	values := make([]*int, 100)
	for i := range values {
		wg.Go(func() { values[i] = r.acquire(i%3, 1, func() *int { return new(int) }) })
	}
	wg.Wait()
	for i, v := range values {
		if v == nil || v != values[i%3] {
			t.Errorf("%d has another value than %d", i, i%3)
		}
		r.release(i%3, 1)
	}
	for key, e := range r.entries {
		if e.refs != 0 {
			t.Errorf("%d is still held %d times", key, e.refs)
		}
	}
}
