package balance

import (
	"fmt"
	"testing"
)

// A lookup's key depends on the one before, so that none overlap.
func BenchmarkHashLookup(b *testing.B) {
	ramp := make([]uint32, 10_000)
	for i := range ramp {
		ramp[i] = uint32(i + 1)
	}
	for _, test := range []struct {
		table, weighting string
		weights          []uint32
	}{
		{"maglev", "equal", []uint32{1}},
		{"ring", "equal", []uint32{1}},
		{"rendezvous", "equal", []uint32{1}},
		{"rendezvous", "all different", ramp},
	} {
		for _, n := range []int{4, 16, 128, 1024, 10_000} {
			b.Run(fmt.Sprint(test.table, "/", test.weighting, "/", n), func(b *testing.B) {
				at, key := tables[test.table](fleet(n, test.weights...)), uint64(0)
				b.ReportAllocs()
				for b.Loop() {
					key += golden + uint64(at.At(key))
				}
			})
		}
	}
}

func BenchmarkHashBuild(b *testing.B) {
	for name, build := range tables {
		for _, n := range []int{4, 16, 128, 1024, 10_000} {
			for weighting, weights := range map[string][]uint32{"equal": {1}, "1 to 10": upTo10} {
				b.Run(fmt.Sprint(name, "/", weighting, "/", n), func(b *testing.B) {
					members := fleet(n, weights...)
					b.ReportAllocs()
					for b.Loop() {
						build(members)
					}
				})
			}
		}
	}
}

func BenchmarkRehash(b *testing.B) {
	key := uint64(0)
	for b.Loop() {
		key = Rehash(key, 1)
	}
}

func BenchmarkAccepts(b *testing.B) {
	key := uint64(0)
	for b.Loop() {
		if Accepts(key, 42, 0.5) {
			key++
		}
		key++
	}
}
