package balance

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

const golden = 0x9e3779b97f4a7c15 // the step of SplitMix64

// naiveRing looks at all points for the first at or after the key's, and else for
// the first of all.
func naiveRing(seats []seat, points int, key uint64) uint32 {
	type point struct{ at, owner uint64 }
	ahead, any := point{math.MaxUint64, 0}, point{math.MaxUint64, 0}
	from := mix(key) >> seatBits
	for i, s := range seats {
		for p := range int(s.weight) * points {
			at := point{mix(s.id+uint64(p+1)*golden) >> seatBits, uint64(i)}
			if at.at >= from && at.at < ahead.at {
				ahead = at
			}
			if at.at < any.at {
				any = at
			}
		}
	}
	if ahead.at == math.MaxUint64 {
		ahead = any
	}
	return seats[ahead.owner].place
}

func TestRingFindsTheNextPoint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := someMembers(t, 10, 10)
		points := rapid.IntRange(1, 10).Draw(t, "points")
		r, seats := NewRing(members, points), seated(members)
		for range 20 {
			key := rapid.Uint64().Draw(t, "key")
			if rapid.Bool().Draw(t, "on a point") {
				s := rapid.SampledFrom(seats).Draw(t, "whose")
				key = s.id + uint64(rapid.IntRange(1, int(s.weight)*points).Draw(t, "point"))*golden
			}
			if got, want := r.At(key), int(naiveRing(seats, points, key)); got != want {
				t.Fatalf("key %d is at %d, want %d", key, got, want)
			}
		}
	})
}

func TestRingPoints(t *testing.T) {
	for _, test := range []struct {
		weights []uint32
		each    uint64
		want    []uint64
	}{
		{[]uint32{1}, 1, []uint64{1}},
		{[]uint32{1, 2, 3}, 160, []uint64{160, 320, 480}},
		{[]uint32{1, 3}, maxPoints / 4, []uint64{maxPoints / 4, maxPoints / 4 * 3}}, // the most there are
		{[]uint32{1, 4}, maxPoints / 4, []uint64{maxPoints / 8, maxPoints / 2}},
		{[]uint32{1, 8}, maxPoints / 4, []uint64{maxPoints / 16, maxPoints / 2}},
		{[]uint32{math.MaxInt32, 1 << 30}, 160, []uint64{math.MaxInt32 * 160 >> 17, 1 << 30 * 160 >> 17}},
		{[]uint32{math.MaxUint32, 1}, math.MaxInt32, []uint64{maxPoints - 1, 1}},
	} {
		has := make([]uint64, len(test.weights))
		seats := seated(fleet(len(has), test.weights...))
		halved, total := halvings(seats, test.each)
		for _, s := range seats {
			has[s.place] = s.points(test.each, halved)
			total -= has[s.place]
		}
		if !slices.Equal(has, test.want) || total != 0 {
			t.Errorf("weights %v, each %d points: %d, and %d more, want %d", test.weights, test.each, has, total, test.want)
		}
	}
}

func TestRingIsBounded(t *testing.T) {
	for _, weights := range [][]uint32{{1}, upTo10, {math.MaxInt32}, repeat(9_999, 1, math.MaxInt32), {1, math.MaxUint32}} {
		seats := seated(fleet(10_000, weights...))
		for _, each := range []uint64{1000, math.MaxInt32} {
			halved, total := halvings(seats, each)
			if total > maxPoints || total < maxPoints/4 {
				t.Errorf("weights %v…, %d points: %d in all", weights[:1], each, total)
			}
			for _, s := range seats {
				if s.points(each, halved) < 1 {
					t.Fatalf("weights %v…, %d points: none for weight %d", weights[:1], each, s.weight)
				}
			}
		}
	}
}
