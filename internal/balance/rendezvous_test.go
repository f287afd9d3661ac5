package balance

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// naiveRendezvous compares all scores.
func naiveRendezvous(seats []seat, key uint64) uint32 {
	most, place := math.Inf(-1), uint32(0)
	for _, s := range seats {
		u := (float64(fold(mix(key), factor(s.id))>>12) + 0.5) / (1 << 52)
		if score := -float64(s.weight) / math.Log(u); score > most {
			most, place = score, s.place
		}
	}
	return place
}

func TestRendezvousFindsTheHighestScore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := someMembers(t, 30, math.MaxUint32)
		if rapid.Bool().Draw(t, "equal") {
			for i := range members {
				members[i].Weight = members[0].Weight
			}
		}
		r, seats := NewRendezvous(members), seated(members)
		start := rapid.Uint64().Draw(t, "key")
		for key := range uint64(1000) {
			if got, want := r.At(start+key), int(naiveRendezvous(seats, start+key)); got != want {
				t.Fatalf("key %d is at %d, want %d", start+key, got, want)
			}
		}
	})
}

// Each member's hash of a key tells nothing of another's: whoever has the most,
// all others have the second most as often as their weights say.
func TestRendezvousHashesAreIndependent(t *testing.T) {
	const n = 10
	for weighting, weights := range map[string][]uint32{"equal": {1}, "1 to 10": upTo10} {
		members, total := fleet(n, weights...), 0.0
		for _, m := range members {
			total += float64(m.Weight)
		}
		all := NewRendezvous(members)
		var others [n]*Rendezvous
		want := make([]int, n*n)
		for i, m := range members {
			others[i] = NewRendezvous(slices.Delete(slices.Clone(members), i, i+1))
			for j, o := range members {
				if i != j {
					p := float64(m.Weight) / total * float64(o.Weight) / (total - float64(m.Weight))
					want[n*i+j] = int(p * (1 << 50))
				}
			}
		}
		for of, keys := range keys {
			t.Run(weighting+"/"+of, func(t *testing.T) {
				pairs := make([]int, n*n)
				for _, key := range keys() {
					first := all.At(key)
					second := others[first].At(key)
					if second >= first {
						second++
					}
					pairs[n*first+second]++
				}
				expectAlike(t, pairs, want)
			})
		}
	}
}
