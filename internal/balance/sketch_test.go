package balance

import (
	"math/rand/v2"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// What a sketch says is never less than what a list of the keys says, halved when
// the sketch is, and never more than there were keys.
func TestSketchAgainstAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		window := rapid.IntRange(2, 60).Draw(t, "window")
		s := NewSketch(window)
		counts, seen := make(map[uint64]int), 0
		for _, key := range rapid.SliceOfN(rapid.Uint64Range(0, 9), 0, 300).Draw(t, "keys") {
			counts[key]++
			seen++
			times, of := s.Add(key)
			if int(of) != seen {
				t.Fatalf("of %d, want %d", of, seen)
			}
			if int(times) < counts[key] || times > of {
				t.Fatalf("key %d came %d times of %d, want %d at least", key, times, of, counts[key])
			}
			if seen == window {
				seen /= 2
				for key := range counts {
					counts[key] /= 2
				}
			}
		}
	})
}

// Among many others, a key that has a hundredth of all is told, and the others
// have little.
func TestSketchTellsHeavyFromLight(t *testing.T) {
	const window = 4096
	s := NewSketch(window)
	random := rand.New(rand.NewPCG(1, 2))
	heavy, light := 0.0, 0.0
	for n := range 20 * window {
		if n%100 == 0 {
			times, of := s.Add(42)
			heavy = float64(times) / float64(of)
			if n > 2*window && (heavy < 0.009 || heavy > 0.013) {
				t.Fatalf("after %d: %d of %d", n, times, of)
			}
			continue
		}
		times, _ := s.Add(random.Uint64())
		if n > 2*window {
			light += float64(times)
		}
	}
	if mean := light / (18 * window); mean > 3 {
		t.Errorf("keys that came once have come %.1f times", mean)
	}
}

// A key that comes no more is forgotten, at half in each half window.
func TestSketchForgets(t *testing.T) {
	const window = 1024
	s := NewSketch(window)
	for range window / 2 {
		s.Add(1)
	}
	random := rand.New(rand.NewPCG(3, 4))
	for range 10 * window {
		s.Add(random.Uint64())
	}
	if times, of := s.Add(1); times > 20 {
		t.Errorf("it came %d times of %d", times, of)
	}
}

// Keys that share a counter in one row hardly do in the other, which is what two
// rows are for.
func TestSketchRowsDiffer(t *testing.T) {
	const window = 1 << 16
	s := NewSketch(window)
	const key = 7
	first := mix(key) & s.mask
	collided := 0
	for other := uint64(0); collided < 50; other++ {
		if other != key && mix(other)&s.mask == first {
			s.Add(other)
			collided++
		}
	}
	if times, _ := s.Add(key); times > 2 {
		t.Errorf("it came once, and %d times by the sketch", times)
	}
}

// Several may add at once; nothing gets lost between two halvings.
func TestSketchIsUsedByMany(t *testing.T) {
	const goroutines, each = 8, 2000
	s := NewSketch(goroutines*each + 2)
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for n := range each {
				s.Add(uint64(n % 4))
			}
		})
	}
	wg.Wait()
	if times, of := s.Add(1); times < goroutines*each/4 || of != goroutines*each+1 {
		t.Errorf("%d of %d", times, of)
	}
}

// While halving goes on, too, counts stay below what was seen, and seen about the
// window.
func TestSketchIsHalvedAmongMany(t *testing.T) {
	const window, goroutines, each = 256, 8, 5000
	s := NewSketch(window)
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for n := range each {
				if times, of := s.Add(uint64(g*each + n)); times > of {
					t.Errorf("%d of %d", times, of)
					return
				}
			}
		})
	}
	wg.Wait()
	for range window {
		s.Add(1)
	}
	if _, of := s.Add(1); of > window {
		t.Errorf("%d seen in a window of %d", of, window)
	}
}

func TestSketchAllocatesNothing(t *testing.T) {
	s, key := NewSketch(64), uint64(0)
	if n := testing.AllocsPerRun(1000, func() { key++; s.Add(key) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
