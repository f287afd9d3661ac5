package registry

import (
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// A value stays the same while anybody holds it, and is dropped once nobody does.
func TestRegistryAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r Registry[string, int]
		ended := make(map[string]int) // how often its last user released it
		held, values := make(map[string]int), make(map[string]*int)
		made := make(map[string]int)
		key := rapid.SampledFrom([]string{"a", "b", "c"})
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				for _, k := range []string{"a", "b", "c"} {
					if known := r.entries[k] != nil; known != (held[k] > 0) {
						t.Fatalf("%s is held %d times: %v", k, held[k], known)
					}
					if made[k] != ended[k]+min(held[k], 1) {
						t.Fatalf("%s was created %d times, and ended %d times", k, made[k], ended[k])
					}
				}
			},
			"acquire": func(t *rapid.T) {
				k := key.Draw(t, "key")
				got := r.Acquire(k, func() *int { made[k]++; return new(int) })
				if held[k] > 0 && got != values[k] {
					t.Fatalf("%s was created again", k)
				}
				held[k]++
				values[k] = got
			},
			"release": func(t *rapid.T) {
				k := key.Draw(t, "key")
				r.Release(k)
				if held[k] == 1 {
					ended[k]++
				}
				held[k] = max(held[k]-1, 0)
			},
		})
	})
}

func TestRegistryGivesAllTheSame(t *testing.T) {
	var r Registry[int, int]
	var wg sync.WaitGroup
	values := make([]*int, 100)
	for i := range values {
		wg.Go(func() { values[i] = r.Acquire(i%3, func() *int { return new(int) }) })
	}
	wg.Wait()
	for i, v := range values {
		if v == nil || v != values[i%3] {
			t.Errorf("%d has another value than %d", i, i%3)
		}
		r.Release(i % 3)
	}
	if len(r.entries) > 0 {
		t.Errorf("%d are still held", len(r.entries))
	}
}
