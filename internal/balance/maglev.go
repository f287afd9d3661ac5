package balance

import (
	"math"
	"math/big"
	"math/bits"
)

// Maglev is Google's table for consistent hashing: a lookup costs the same
// whatever the number of members, and shares are as even as slots allow. Each
// member has a list of all slots, in an order of its own. In turn, each takes
// the first on its list that is still vacant, until none is.
//
// Whoever leaves leaves its slots to others. A few more change hands, since who
// takes one of those no longer takes what it took in its stead. The more slots
// there are for a member, the fewer these are.
//
// D. E. Eisenbud et al., Maglev: A Fast and Reliable Software Network Load
// Balancer, NSDI 2016.
type Maglev struct {
	slots []uint32 // whose each is
	short []uint16 // the same instead, where that is enough: more of it is in the cache
}

// MaglevSize is the size of a table for n members: over 100 slots for each, and
// so many that when one of equals leaves, slots that change hands besides its own
// are less than one in a hundred. For any size these are most at some hundreds of
// members; only the smallest comes close to that bound there, and is left sooner.
//
// It grows in large steps, since from one size to the next almost all keys move.
func MaglevSize(n int) int {
	size := 1 << 16
	if n > 160 {
		size = 1 << 18
	}
	for size <= 100*n {
		size *= 4
	}
	for !IsPrime(size) {
		size++
	}
	return size
}

// IsPrime tells whether n is a prime number.
func IsPrime(n int) bool {
	return n > 1 && big.NewInt(int64(n)).ProbablyPrime(0) // certain below 2⁶⁴
}

// path is a member's way through its list of slots: from where it is, by the same
// step each time. The size being prime, any step reaches all slots.
type path struct {
	slot, step uint32
	taken      uint32
	weight     float64
	place      uint32
}

const vacant = ^uint32(0)

// NewMaglev returns the table for the given members. Its size, a prime number, is
// best that of [MaglevSize].
//
// A member's turns are as far apart as its weight says, turn k at (k+½)/weight,
// which brings every share as near to the ideal as whole slots can be (Webster's
// method of apportionment, in which seats in parliaments are given). But the
// first turn of all is before anyone's second, so that nobody goes without.
func NewMaglev(members []Member, size int) *Maglev {
	slots := make([]uint32, size)
	for i := range slots {
		slots[i] = vacant
	}
	paths, queue := make([]path, len(members)), make(turns, len(members))
	for i, s := range seated(members) {
		paths[i] = path{
			slot:   uint32(Rehash(s.id, 1) % uint64(size)),
			step:   uint32(Rehash(s.id, 2)%uint64(size-1)) + 1,
			weight: float64(s.weight),
			place:  s.place,
		}
		queue[i] = turn{seat: uint32(i)}
	}
	for range size {
		p := &paths[queue[0].seat]
		for slots[p.slot] != vacant {
			p.slot += p.step
			if p.slot >= uint32(size) {
				p.slot -= uint32(size)
			}
		}
		slots[p.slot] = p.place
		p.taken++
		queue[0].due = (float64(p.taken) + 0.5) / p.weight
		queue.settle()
	}
	if len(members) > math.MaxUint16 {
		return &Maglev{slots: slots}
	}
	short := make([]uint16, size)
	for i, place := range slots {
		short[i] = uint16(place)
	}
	return &Maglev{short: short}
}

// At returns the place of the member that has the key.
func (m *Maglev) At(key uint64) int {
	if m.short != nil {
		slot, _ := bits.Mul64(mix(key), uint64(len(m.short)))
		return int(m.short[slot])
	}
	slot, _ := bits.Mul64(mix(key), uint64(len(m.slots)))
	return int(m.slots[slot])
}

// turn says when a member takes its next slot; of equals, the first seated goes
// first.
type turn struct {
	due  float64
	seat uint32
}

func (t turn) before(u turn) bool {
	return t.due < u.due || t.due == u.due && t.seat < u.seat
}

// turns is a heap of which only the first one ever changes.
type turns []turn

// settle moves the first turn to where it belongs by now.
func (t turns) settle() {
	moved, at := t[0], 0
	for {
		next := 2*at + 1
		if next+1 < len(t) && t[next+1].before(t[next]) {
			next++
		}
		if next >= len(t) || !t[next].before(moved) {
			break
		}
		t[at], at = t[next], next
	}
	t[at] = moved
}
