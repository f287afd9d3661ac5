package balance

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// someWeights draws weights of n candidates, of which some are far heavier.
func someWeights(t *rapid.T, n int) []uint32 {
	weight := rapid.OneOf(rapid.Uint32Range(1, 8), rapid.Uint32Range(1, 100))
	return rapid.SliceOfN(weight, n, n).Draw(t, "weights")
}

// nginx picks as NGINX does, from the credits given, which it moves along.
func nginx(weights []uint32, credit []int64) int {
	best, total := -1, int64(0)
	for i, w := range weights {
		credit[i] += int64(w)
		total += int64(w)
		if best < 0 || credit[i] > credit[best] {
			best = i
		}
	}
	credit[best] -= total
	return best
}

// cycleOf is after how many picks the candidates have had their exact shares.
func cycleOf(weights []uint32) int {
	sum := 0
	for _, w := range weights {
		sum += int(w)
	}
	return sum / int(gcd(weights))
}

func sum(weights []uint32) (total float64) {
	for _, w := range weights {
		total += float64(w)
	}
	return total
}

func TestSmoothOrder(t *testing.T) {
	for _, test := range []struct {
		weights []uint32
		want    string
	}{
		{[]uint32{5, 1, 1}, "aabacaa"},
		{[]uint32{1, 5, 1}, "bbabcbb"},
		{[]uint32{10, 2, 2}, "aabacaa"}, // what divides all makes no difference
		{[]uint32{1, 1, 1}, "abc"},
		{[]uint32{4, 4}, "ab"},
		{[]uint32{2, 1}, "aba"},
		{[]uint32{7}, "a"},
	} {
		s := NewSmooth(test.weights, nil)
		var got []byte
		for n := range 2 * len(test.want) {
			got = append(got, 'a'+byte(s.At(uint64(n))))
		}
		if string(got) != test.want+test.want {
			t.Errorf("%v: %s, want %s twice", test.weights, got, test.want)
		}
	}
}

func TestSmoothPicksAsNGINXDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := someWeights(t, rapid.IntRange(1, 20).Draw(t, "n"))
		s := NewSmooth(weights, nil)
		credit := make([]int64, len(weights))
		for n := range 2 * cycleOf(weights) {
			if got, want := s.At(uint64(n)), nginx(weights, credit); got != want {
				t.Fatalf("pick %d is %d, want %d", n, got, want)
			}
		}
	})
}

// After any number of picks, a candidate is less than a pick ahead of its
// share, and not much more than one behind.
//
// Ahead: whoever is taken has the most credit, which is at least the mean of
// 1/n pick, and pays one pick. Behind: let m(k) be the most that k candidates
// can be behind in the mean; m(n) is 0. If all of those k were passed over for
// another one, that had as much credit, and so together they were at m(k+1) or
// less before a credit of one pick was spread over them: m(k) ≤ m(k+1) + 1/(k+1).
func TestSmoothStaysNearIdealShares(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := someWeights(t, rapid.IntRange(1, 20).Draw(t, "n"))
		ahead, behind := 1-1/float64(len(weights)), 0.0
		for k := 2; k <= len(weights); k++ {
			behind += 1 / float64(k)
		}
		s := NewSmooth(weights, nil)
		taken := make([]float64, len(weights))
		for n := 1; n <= cycleOf(weights); n++ {
			taken[s.At(uint64(n-1))]++
			for i, w := range weights {
				due := float64(n) * float64(w) / sum(weights)
				if d := due - taken[i]; d < -ahead-1e-9 || d > behind+1e-9 {
					t.Fatalf("after %d picks, %d is behind by %v, want %v to %v", n, i, d, -ahead, behind)
				}
			}
		}
	})
}

// From whatever is owed, after a few cycles all of them are the same, and the
// shares in each are exact.
func TestSmoothSettlesIntoACycle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := someWeights(t, rapid.IntRange(1, 12).Draw(t, "n"))
		owed := rapid.SliceOfN(rapid.Float64Range(-3, 3), len(weights), len(weights)).Draw(t, "owed")
		s := NewSmooth(weights, owed)
		cycle := uint64(cycleOf(weights))
		from := leads*cycle + rapid.Uint64Max(1<<62).Draw(t, "from")
		taken := make([]uint32, len(weights))
		for n := from; n < from+cycle; n++ {
			taken[s.At(n)]++
			if s.At(n) != s.At(n+cycle) {
				t.Fatalf("pick %d is %d, a cycle later %d", n, s.At(n), s.At(n+cycle))
			}
		}
		for i, w := range weights {
			if taken[i] != w/gcd(weights) {
				t.Errorf("%d was taken %d times in %d picks, want %d", i, taken[i], cycle, w/gcd(weights))
			}
		}
		if before, after := s.Owed(from), s.Owed(from+cycle); !slices.Equal(before, after) {
			t.Errorf("before a cycle %v are owed, after it %v", before, after)
		}
	})
}

func TestSmoothPaysBackWhatIsOwed(t *testing.T) {
	for _, test := range []struct {
		owed []float64
		want int
	}{
		{nil, 0},
		{[]float64{0, 0, 0}, 0},
		{[]float64{0, 0, 0.9}, 2},
		{[]float64{-0.9, 0, 0}, 1},
		{[]float64{0, 0.4, 0.9}, 2},
	} {
		if got := NewSmooth([]uint32{1, 1, 1}, test.owed).At(0); got != test.want {
			t.Errorf("owed %v: the first pick is %d, want %d", test.owed, got, test.want)
		}
	}
}

// What is owed follows from what was owed and the picks since, from any start.
func TestSmoothOwedCountsPicks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := someWeights(t, rapid.IntRange(1, 6).Draw(t, "n"))
		owed := rapid.SliceOfN(rapid.Float64Range(-1, 1), len(weights), len(weights)).Draw(t, "owed")
		s := NewSmooth(weights, owed)
		want := s.Owed(0)
		for n := range 3 * cycleOf(weights) {
			for i, w := range weights {
				want[i] += float64(w) / sum(weights)
			}
			want[s.At(uint64(n))]--
			for i, got := range s.Owed(uint64(n + 1)) {
				if math.Abs(got-want[i]) > 1e-9 {
					t.Fatalf("after %d picks, %d is owed %v, want %v", n+1, i, got, want[i])
				}
			}
		}
	})
}

// A table made anew, for the same members, goes on where the last one stopped.
func TestSmoothRebuildChangesNothing(t *testing.T) {
	check := func(t rapid.TB, weights []uint32, pause int) {
		whole := NewSmooth(weights, nil)
		part, n := whole, 0
		for pick := range 3 * cycleOf(weights) {
			if n == pause {
				part, n = NewSmooth(weights, part.Owed(uint64(n))), 0
			}
			if got, want := part.At(uint64(n)), whole.At(uint64(pick)); got != want {
				t.Fatalf("%v, made anew every %d picks: pick %d is %d, want %d", weights, pause, pick, got, want)
			}
			n++
		}
	}
	check(t, []uint32{1, 43}, 1)
	check(t, []uint32{2, 131, 16, 128}, 1) // the first one is owed more than a pick at times
	rapid.Check(t, func(t *rapid.T) {
		weights := someWeights(t, rapid.IntRange(2, 6).Draw(t, "n"))
		check(t, weights, rapid.IntRange(1, 5).Draw(t, "pause"))
	})
}

// flaps is a story of members that leave and return. Who is in for the next
// few picks, and how many these are, comes from the masks, over and over.
type flaps struct {
	weights []uint32
	always  int // so many, the first ones, never leave
	masks   []uint8
	picks   []int
}

// leastServed carries what is owed from table to table, and returns by how
// many picks the worst served of those who never leave was behind at worst.
func (f flaps) leastServed(rounds int) float64 {
	owed := make([]float64, len(f.weights))
	behind := make([]float64, f.always)
	worst := 0.0
	for r := range rounds * len(f.masks) {
		var in []int
		var weights []uint32
		var before []float64
		for i, w := range f.weights {
			if i < f.always || f.masks[r%len(f.masks)]>>i&1 == 1 {
				in, weights, before = append(in, i), append(weights, w), append(before, owed[i])
			}
		}
		s := NewSmooth(weights, before)
		picks := uint64(f.picks[r%len(f.picks)])
		for n := range picks {
			taken := in[s.At(n)]
			for i := range behind {
				behind[i] += float64(f.weights[i]) / sum(weights)
			}
			if taken < f.always {
				behind[taken]--
			}
			worst = max(worst, slices.Max(behind))
		}
		for i, o := range s.Owed(picks) {
			owed[in[i]] = o
		}
	}
	return worst
}

// However others leave and return, whoever stays gets its share of each pick
// it was in for, but for less than two picks, however long it goes on.
func TestSmoothRebuildsCostNobodyItsShare(t *testing.T) {
	const rounds = 200
	for _, f := range []flaps{
		{[]uint32{1, 43}, 2, []uint8{0}, []int{1}},
		{[]uint32{2, 2, 2}, 2, []uint8{0, 4}, []int{3}},
		{[]uint32{1, 4}, 1, []uint8{0, 2, 2}, []int{1}},
		{[]uint32{3, 3, 5}, 2, []uint8{0, 4}, []int{1}},
		{[]uint32{87, 1, 5, 89, 1}, 1, []uint8{0xff, 0}, []int{1}},
	} {
		if worst := f.leastServed(rounds); worst >= 2 {
			t.Fatalf("%+v: behind by up to %v picks", f, worst)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 6).Draw(t, "n")
		f := flaps{
			weights: someWeights(t, n),
			always:  rapid.IntRange(1, n-1).Draw(t, "always"),
			masks:   rapid.SliceOfN(rapid.Uint8(), 1, 6).Draw(t, "masks"),
			picks:   rapid.SliceOfN(rapid.IntRange(1, 5), 1, 6).Draw(t, "picks"),
		}
		if worst := f.leastServed(rounds / len(f.masks)); worst >= 2 {
			t.Errorf("behind by up to %v picks", worst)
		}
	})
}

func TestSmoothCost(t *testing.T) {
	for _, test := range []struct {
		weights []uint32
		want    uint64
	}{
		{nil, 0},
		{[]uint32{9}, 1},
		{[]uint32{5, 1, 1}, 21},
		{[]uint32{10, 2, 2}, 21},
		{[]uint32{math.MaxInt32, math.MaxInt32 - 1}, 2 * (2*math.MaxInt32 - 1)},
	} {
		if got := SmoothCost(test.weights); got != test.want {
			t.Errorf("%v: %d, want %d", test.weights, got, test.want)
		}
	}
}
