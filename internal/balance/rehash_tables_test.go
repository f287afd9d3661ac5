package balance

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// someMembers draws up to n members, of which some are far heavier.
func someMembers(t *rapid.T, n int, heaviest uint32) []Member {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Member {
		return Member{
			ID:     rapid.Uint64().Draw(t, "id"),
			Weight: rapid.OneOf(rapid.Uint32Range(1, 3), rapid.Uint32Range(1, heaviest)).Draw(t, "weight"),
		}
	}), 1, n).Draw(t, "members")
}

// smallTables are quick to make, for members that are not many.
var smallTables = map[string]func([]Member) table{
	"rendezvous": func(m []Member) table { return NewRendezvous(m) },
	"maglev":     func(m []Member) table { return NewMaglev(m, 1009) },
	"ring":       func(m []Member) table { return NewRing(m, 10) },
}

// moves counts the keys that are elsewhere after the members at some places have
// left, other than those that these had.
func moves(build func([]Member) table, members []Member, left map[int]bool, keys []uint64) (moved int) {
	var stay []Member
	var was []int
	for place, m := range members {
		if !left[place] {
			stay, was = append(stay, m), append(was, place)
		}
	}
	before, after := build(members), build(stay)
	for _, key := range keys {
		if own := before.At(key); !left[own] && was[after.At(key)] != own {
			moved++
		}
	}
	return moved
}

// Whoever leaves, and however many: only their keys move, but for Maglev's.
func TestHashingMovesOnlyKeysOfThoseWhoLeave(t *testing.T) {
	for _, name := range []string{"rendezvous", "ring"} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				members := rapid.Custom(func(t *rapid.T) []Member { return someMembers(t, 20, 100) }).
					Filter(func(m []Member) bool { return !repeated(m) }).Draw(t, "members")
				left := make(map[int]bool)
				for place := range members[1:] {
					left[place] = rapid.Bool().Draw(t, "left")
				}
				keys := rapid.SliceOfN(rapid.Uint64(), 100, 100).Draw(t, "keys")
				if moved := moves(smallTables[name], members, left, keys); moved > 0 {
					t.Errorf("%d keys of others moved", moved)
				}
			})
		})
	}
}

// repeated tells whether an ID comes twice.
func repeated(members []Member) bool {
	ids := make(map[uint64]bool)
	for _, m := range members {
		ids[m.ID] = true
	}
	return len(ids) < len(members)
}

func TestHashingTakesMembersInAnyOrder(t *testing.T) {
	for name, build := range smallTables {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				members := someMembers(t, 20, 100)
				if rapid.Bool().Draw(t, "repeat") {
					members = append(members, members[0], Member{members[0].ID, 7})
				}
				order := rapid.Permutation(members).Draw(t, "order")
				a, b := build(members), build(order)
				for range 100 {
					key := rapid.Uint64().Draw(t, "key")
					if got, want := order[b.At(key)], members[a.At(key)]; got != want {
						t.Fatalf("key %d is at %v, in the other order at %v", key, want, got)
					}
				}
			})
		})
	}
}

func TestHashingOfOneMember(t *testing.T) {
	for name, build := range smallTables {
		for _, m := range []Member{{0, 1}, {math.MaxUint64, math.MaxUint32}, {42, 3}} {
			at := build([]Member{m})
			for _, key := range append(keys["paths"]()[:1000], 0, math.MaxUint64) {
				if place := at.At(key); place != 0 {
					t.Fatalf("%s: key %d is at %d", name, key, place)
				}
			}
		}
	}
}

// Members that share an ID share its keys.
func TestHashingOfTheSameIDs(t *testing.T) {
	for name, build := range tables {
		t.Run(name, func(t *testing.T) {
			at := build([]Member{{1, 1}, {1, 1}, {2, 1}, {1, 2}})
			got := counts(at, 4, keys["paths"]())
			for i, want := range []float64{0.2, 0.2, 0.2, 0.4} {
				if share := float64(got[i]) / 1e6; math.Abs(share/want-1) > 0.25 || name != "ring" && math.Abs(share/want-1) > 0.01 {
					t.Errorf("%d has %v of the keys, want %v", i, share, want)
				}
			}
		})
	}
}

func TestHashingAllocatesNothing(t *testing.T) {
	for name, build := range tables {
		at, key := build(fleet(100, upTo10...)), uint64(0)
		if n := testing.AllocsPerRun(1000, func() { key += uint64(at.At(key)) + 1 }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
