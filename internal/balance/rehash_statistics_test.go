//go:build !race

// Statistics take many lookups, in which there is nothing to race.

package balance

import (
	"cmp"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

var long = flag.Bool("long", false, "run statistics in their long form")

// peak is what the fullest has of the mean.
func peak(counts []int) float64 {
	total := 0
	for _, c := range counts {
		total += c
	}
	return float64(slices.Max(counts)) * float64(len(counts)) / float64(total)
}

func TestHashingSharesEvenly(t *testing.T) {
	for name, build := range tables {
		for n, most := range map[int]float64{10: 1.01, 100: 1.04, 1000: 1.15} {
			at := build(fleet(n, 1))
			if name == "ring" {
				most = 1.35 // 160 points differ by 1/√160 in their share, and 1000 members by 3.3 times that
			}
			for of, keys := range keys {
				if name == "rendezvous" && n == 1000 && of != "paths" && !*long {
					continue // it looks at all members for each key
				}
				t.Run(fmt.Sprint(name, "/", n, "/", of), func(t *testing.T) {
					counts := counts(at, n, keys())
					t.Logf("max/mean %.4f", peak(counts))
					if got := peak(counts); got > most {
						t.Errorf("the fullest has %.4f of the mean, want %v at most", got, most)
					}
				})
			}
		}
	}
}

func TestHashingSharesByWeight(t *testing.T) {
	for name, build := range tables {
		for _, n := range []int{10, 100} {
			at := build(fleet(n, upTo10...))
			off := 0.03
			if name == "ring" {
				off = 0.25
			}
			t.Run(fmt.Sprint(name, "/", n), func(t *testing.T) {
				var ofWeight [11]float64
				keys := keys["paths"]()
				for place, c := range counts(at, n, keys) {
					ofWeight[1+place%10] += float64(c)
				}
				for w := 1; w <= 10; w++ {
					due := float64(len(keys)) * float64(w) / 55
					t.Logf("weight %d: %+.1f %%", w, 100*(ofWeight[w]/due-1))
					if math.Abs(ofWeight[w]/due-1) > off {
						t.Errorf("those of weight %d have %v keys, want %v", w, ofWeight[w], due)
					}
				}
			})
		}
	}
}

func TestHashingMovesFewKeys(t *testing.T) {
	for name, build := range tables {
		for _, n := range []int{10, 100, 1000} {
			for weighting, weights := range map[string][]uint32{"equal": {1}, "1 to 10": upTo10} {
				keys := keys["paths"]()[:20_000]
				most := 0
				if name == "maglev" {
					most = len(keys) / 100
				}
				for _, left := range []int{0, n / 2, n - 1} {
					t.Run(fmt.Sprint(name, "/", n, "/", weighting, "/", left), func(t *testing.T) {
						moved := moves(build, fleet(n, weights...), map[int]bool{left: true}, keys)
						t.Logf("%d of %d", moved, len(keys))
						if moved > most {
							t.Errorf("%d keys of others moved, want %d at most", moved, most)
						}
					})
				}
			}
		}
	}
}

// At the sizes that tables have, one of equals that leaves moves less than 1 % of
// all other slots, just below each change of size, too.
func TestMaglevSizeKeepsSlots(t *testing.T) {
	for _, n := range []int{2, 10, 50, 100, 160, 161, 500, 1000, 2621, 2622} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			members, size := fleet(n, 1), MaglevSize(n)
			before := NewMaglev(members, size).all()
			for _, left := range []int{0, n / 2} {
				after := NewMaglev(slices.Delete(slices.Clone(members), left, left+1), size).all()
				moved := 0
				for i, own := range before {
					now := int(after[i])
					if now >= left {
						now++
					}
					if int(own) != left && int(own) != now {
						moved++
					}
				}
				t.Logf("%.2f %%", 100*float64(moved)/float64(size))
				if 100*moved > size {
					t.Errorf("%d of %d slots moved", moved, size)
				}
			}
		})
	}
}

// While a tenth of the members is down, their keys, and no others, are elsewhere:
// with all others, as these share keys anyway.
func TestRehashFlap(t *testing.T) {
	for name, build := range tables {
		for _, n := range []int{10, 100, 1000} {
			for weighting, weights := range map[string][]uint32{"equal": {1}, "1 to 10": upTo10} {
				t.Run(fmt.Sprint(name, "/", n, "/", weighting), func(t *testing.T) {
					at := build(fleet(n, weights...))
					up := func(_ uint64, place int) bool { return place%10 != place/10%10 }
					kept, gained := make([]int, n), make([]int, n)
					for _, key := range keys["paths"]()[:200_000] {
						own, place := at.At(key), lookup(at, key, up)
						switch {
						case !up(key, own):
							gained[place]++
						case place == own:
							kept[place]++
						default:
							t.Fatalf("a key of %d is at %d", own, place)
						}
					}
					expectAlike(t, kept, gained)
				})
			}
		}
	}
}

// However far apart weights are, and however large, tables can be made of them,
// and the heaviest tenth has its share.
func TestHashingOfHugeWeights(t *testing.T) {
	const n = 10_000
	for weighting, weights := range map[string][]uint32{
		"one huge":      repeat(n-1, 1, math.MaxInt32),
		"one tiny":      repeat(n-1, math.MaxUint32, 1),
		"powers of two": randomWeights(n, func(r *rand.Rand) uint32 { return 1 << r.UintN(32) }),
	} {
		members := fleet(n, weights...)
		slices.SortStableFunc(members, func(a, b Member) int { return cmp.Compare(b.Weight, a.Weight) })
		heavy, total := 0.0, 0.0
		for i, m := range members {
			total += float64(m.Weight)
			if i < n/10 {
				heavy += float64(m.Weight)
			}
		}
		for name, build := range tables {
			t.Run(name+"/"+weighting, func(t *testing.T) {
				at, got := build(members), 0.0
				keys := keys["users"]()[:10_000]
				for _, key := range keys {
					if at.At(key) < n/10 {
						got++
					}
				}
				if got /= float64(len(keys)); math.Abs(got-heavy/total) > 0.03 {
					t.Errorf("the heaviest tenth has %v of the keys, want %v", got, heavy/total)
				}
			})
		}
	}
}
