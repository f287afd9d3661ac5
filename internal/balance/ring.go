package balance

import (
	"math/bits"
	"slices"
)

// Ring gives a key to the member whose point on a circle is the first at or
// after the key's own. Each member has so many points for each unit of its
// weight, whoever else is there: whoever leaves leaves only its own keys to
// others, and whoever comes takes only what will be its own.
//
// That ends where all points together would be more than maxPoints: there every
// member goes without half of its points, and half of the rest, until they fit.
//
// D. Karger et al., Consistent Hashing and Random Trees, 1997; with many points a
// member: libketama.
type Ring struct {
	points []uint64 // sorted: where it is, and in the last bits whose seat's it is
	places []uint32 // of members, by seat
	first  []uint32 // first point at or after the start of each arc
	shift  int      // 64 less the number of bits that say which arc
}

const maxPoints = 1 << 22

// NewRing returns the ring for the given members, with so many points, above
// zero, for each unit of weight.
func NewRing(members []Member, points int) *Ring {
	seats := seated(members)
	halved, total := halvings(seats, uint64(points))
	r := &Ring{points: make([]uint64, 0, total+1), places: make([]uint32, len(seats))}
	for i, s := range seats {
		r.places[i] = s.place
		for p := range s.points(uint64(points), halved) {
			r.points = append(r.points, Rehash(s.id, int(p)+1)&^seatMask|uint64(i))
		}
	}
	slices.Sort(r.points)
	// The circle's end is where its first point is met again.
	r.points = append(r.points, r.points[0]|^uint64(seatMask))

	// As many arcs as points, or up to half as many.
	arcs := bits.Len(uint(len(r.points))) - 1
	r.shift = 64 - arcs
	r.first = make([]uint32, 1<<arcs)
	next := 0
	for arc := range r.first {
		for r.points[next] < uint64(arc)<<r.shift {
			next++
		}
		r.first[arc] = uint32(next)
	}
	return r
}

// points is how many points a seat has, after so many halvings.
func (s seat) points(each uint64, halved int) uint64 {
	return max(uint64(s.weight)*each>>halved, 1)
}

// halvings is how often points have to be halved, and how many are left of all.
func halvings(seats []seat, each uint64) (halved int, total uint64) {
	for {
		total = 0
		for _, s := range seats {
			total += min(s.points(each, halved), maxPoints+1)
		}
		if total <= uint64(max(maxPoints, len(seats))) {
			return halved, total
		}
		halved++
	}
}

// At returns the place of the member that has the key.
func (r *Ring) At(key uint64) int {
	at := mix(key) &^ seatMask
	i := r.first[at>>r.shift]
	for r.points[i] < at {
		i++
	}
	return int(r.places[r.points[i]&seatMask])
}
