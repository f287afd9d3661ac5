package balance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// walk is what became of some steps.
type walk struct {
	picks int
	taken []float64
	skips int       // most in a row
	apart []float64 // most that a candidate's picks in any window differ from its share
}

func walkStride(s *Stride, weights []uint32, from uint64, steps int) walk {
	n := len(weights)
	w := walk{taken: make([]float64, n), apart: make([]float64, n)}
	most, least := make([]float64, n), make([]float64, n)
	total, run := sum(weights), 0
	// A candidate is ahead most right after its own picks, behind most right before.
	ahead := func(i int) float64 { return w.taken[i] - float64(w.picks)*float64(weights[i])/total }
	for step := range uint64(steps) {
		i, ok := s.At(from + step)
		if !ok {
			run++
			w.skips = max(w.skips, run)
			continue
		}
		run = 0
		least[i] = min(least[i], ahead(i))
		w.picks++
		w.taken[i]++
		most[i] = max(most[i], ahead(i))
	}
	for i := range weights {
		least[i], most[i] = min(least[i], ahead(i)), max(most[i], ahead(i))
		w.apart[i] = most[i] - least[i]
	}
	return w
}

// repeat returns n weights w, and then the others.
func repeat(n int, w uint32, others ...uint32) []uint32 {
	return append(slices.Repeat([]uint32{w}, n), others...)
}

// randomWeights are the same in each run.
func randomWeights(n int, weight func(r *rand.Rand) uint32) []uint32 {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	weights := make([]uint32, n)
	for i := range weights {
		weights[i] = weight(r)
	}
	return weights
}

func TestStrideIsSmooth(t *testing.T) {
	upTo := func(most uint32) func(*rand.Rand) uint32 {
		return func(r *rand.Rand) uint32 { return 1 + r.Uint32N(most) }
	}
	powers := func(r *rand.Rand) uint32 { return 1 << r.UintN(20) }
	ramp := make([]uint32, 10_000)
	for i := range ramp {
		ramp[i] = uint32(i + 1)
	}
	for name, test := range map[string]struct {
		weights []uint32
		apart   float64
	}{
		"one":                      {repeat(1, 7), 0},
		"5 1 1":                    {[]uint32{5, 1, 1}, 2},
		"1 and 100000":             {[]uint32{1, 100_000}, 2},
		"two light":                {[]uint32{1, 1, 100_000}, 2},
		"one heavy, last":          {repeat(1000, 1, 1000), 10},
		"one heavy, first":         {append([]uint32{1000}, repeat(1000, 1)...), 10},
		"one as heavy as 10000":    {repeat(10_000, 1, 10_000), 10},
		"one heavier than all":     {repeat(1000, 1, 1_000_000), 10},
		"ten heavy":                {repeat(1000, 1, repeat(10, 100)...), 5},
		"two kinds, in blocks":     {repeat(500, 2, repeat(500, 3)...), 4},
		"two kinds, almost alike":  {repeat(500, 99, repeat(500, 100)...), 4},
		"two kinds, in turn":       {slices.Repeat([]uint32{1, 100}, 500), 4},
		"a heavy one in eight":     {slices.Repeat([]uint32{1, 1, 1, 1, 1, 1, 1, 9}, 200), 4},
		"a heavy one in thirteen":  {slices.Repeat(repeat(12, 1, 30), 100), 4},
		"up to 3":                  {randomWeights(5000, upTo(3)), 4},
		"up to 100":                {randomWeights(5000, upTo(100)), 4},
		"up to 100, sorted":        {slices.Sorted(slices.Values(randomWeights(5000, upTo(100)))), 4},
		"up to the most":           {randomWeights(5000, upTo(math.MaxInt32)), 4},
		"powers of two":            {randomWeights(5000, powers), 4},
		"powers of two, few":       {randomWeights(10, powers), 5},
		"all different, in a ramp": {ramp, 4},
		"five, up to 100":          {randomWeights(5, upTo(100)), 4},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewStride(test.weights)
			w := walkStride(s, test.weights, 0, 50*s.Steps())
			if 2*w.picks < 50*s.Steps() {
				t.Errorf("%d picks in %d steps, want half or more", w.picks, 50*s.Steps())
			}
			const enough = 20 // the caller gives up after 1000
			if w.skips > enough {
				t.Errorf("%d skips in a row, want %d at most", w.skips, enough)
			}
			if worst := slices.Max(w.apart); worst > test.apart {
				i := slices.Index(w.apart, worst)
				t.Errorf("in some window, weight %d is %.1f picks from its share, want %v at most", test.weights[i], worst, test.apart)
			}
		})
	}
}

// Over many rounds, shares are as exact as 32 bits can have them.
func TestStrideShares(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "n")
		weight := rapid.OneOf(rapid.Uint32Range(1, 10), rapid.Uint32Range(1, 100_000))
		weights := rapid.SliceOfN(weight, n, n).Draw(t, "weights")
		s := NewStride(weights)
		from := rapid.Uint64Max(1<<40).Draw(t, "from")
		const rounds = 5000
		w := walkStride(s, weights, from, rounds*s.Steps())
		if 2*w.picks < rounds*s.Steps() {
			t.Errorf("%d picks in %d steps, want half or more", w.picks, rounds*s.Steps())
		}
		if w.skips > 2*n {
			t.Errorf("%d skips in a row", w.skips)
		}
		for i := range weights {
			due := float64(w.picks) * float64(weights[i]) / sum(weights)
			if math.Abs(w.taken[i]-due) > 5 {
				t.Errorf("weight %d was taken %v times of %d, want %v", weights[i], w.taken[i], w.picks, due)
			}
		}
	})
}

// Where the number of the round no longer fits into 32 bits, nothing happens.
func TestStrideGoesOnAfterManyRounds(t *testing.T) {
	weights := []uint32{3, 50, 7, 1000}
	s := NewStride(weights)
	const rounds = 4000
	w := walkStride(s, weights, (1<<32-rounds/2)*uint64(s.Steps()), rounds*s.Steps())
	for i, apart := range w.apart {
		if apart > 3 {
			t.Errorf("in some window, weight %d is %v picks from its share", weights[i], apart)
		}
	}
}

func TestStrideKeepsTheOrderOfEqualWeights(t *testing.T) {
	for _, n := range []int{1, 2, 7, 1000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			s := NewStride(repeat(n, 42))
			for step := range 3 * n {
				if i, ok := s.At(uint64(step)); !ok || i != step%n {
					t.Fatalf("step %d: %d, %t, want %d", step, i, ok, step%n)
				}
			}
		})
	}
}
