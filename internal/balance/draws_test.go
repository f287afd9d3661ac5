package balance

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// expectUniform fails the test if the counts are further from being equal than
// chance makes them: chi-square, at four standard deviations.
func expectUniform(t *testing.T, counts []int) {
	t.Helper()
	total := 0
	for _, c := range counts {
		total += c
	}
	want := float64(total) / float64(len(counts))
	chi2 := 0.0
	for _, c := range counts {
		chi2 += (float64(c) - want) * (float64(c) - want) / want
	}
	freedom := float64(len(counts) - 1)
	if d := math.Abs(chi2 - freedom); d > 4*math.Sqrt(2*freedom) {
		t.Errorf("chi-square of %d counts is %.1f, want about %v", len(counts), chi2, freedom)
	}
}

// The numbers that SplitMix64's reference implementation gives for this seed.
func TestDrawsAreSplitMix64(t *testing.T) {
	d := Draws(1234567)
	for i, want := range []uint64{6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431} {
		if got := d.Below(1 << 32); got != int(want>>32) {
			t.Errorf("draw %d: %d, want %d", i, got, want>>32)
		}
	}
}

func TestDrawsAreUniform(t *testing.T) {
	for _, n := range []int{2, 3, 10, 1000} {
		draws := Draws(42)
		oneByOne, first, pairs := make([]int, n), make([]int, n), make([]int, 100)
		for seed := range 200 * n {
			oneByOne[draws.Below(n)]++
			d := Draws(seed) // starts that differ as little as can be
			first[d.Below(n)]++
		}
		for seed := range 20_000 {
			d := Draws(seed)
			pairs[10*d.Below(10)+d.Below(10)]++
		}
		expectUniform(t, oneByOne)
		expectUniform(t, first)
		expectUniform(t, pairs)
	}
}

func TestDrawsAreBelow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := Draws(rapid.Uint64().Draw(t, "seed"))
		n := rapid.IntRange(1, 1<<32).Draw(t, "n")
		for range 10 {
			if got := d.Below(n); got < 0 || got >= n {
				t.Fatalf("%d is not below %d", got, n)
			}
		}
	})
}
