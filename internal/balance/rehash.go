package balance

import (
	"cmp"
	"math/bits"
	"slices"
)

// Member is one of those that share keys by hash: [Maglev], [Ring] and
// [Rendezvous] tell whose a key is, each in its own way. What they answer depends
// on the members' IDs and weights, not on the order the members come in, so that
// proxies whose lists differ in order agree. There is at least one member; those
// of equal ID share its keys as if they had IDs of their own.
type Member struct {
	ID     uint64 // a hash of what identifies the member
	Weight uint32 // above zero
}

// Tables keep a member's seat in the last bits of other numbers, so that there are
// fewer than 2²⁴ members.
const (
	seatBits = 24
	seatMask = 1<<seatBits - 1
)

// seat is a member in the order that tables are made in.
type seat struct {
	id     uint64
	weight uint32
	place  uint32 // in the list of members
}

// seated returns the members in an order that their list's order does not change.
func seated(members []Member) []seat {
	seats := make([]seat, len(members))
	for i, m := range members {
		seats[i] = seat{m.ID, m.Weight, uint32(i)}
	}
	slices.SortFunc(seats, func(a, b seat) int {
		return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.weight, b.weight), cmp.Compare(a.place, b.place))
	})
	first := 0
	for i := range seats {
		if seats[i].id != seats[first].id {
			first = i
		}
		seats[i].id = Rehash(seats[i].id, i-first)
	}
	return seats
}

// Rehash is the key that a request goes on with where the member that it was led
// to in the attempt before is down or full. Each attempt's is as good as random,
// so that what one member loses goes to all others, by their weights; attempt 0
// has the key itself.
//
// The others are the key's own sequence of SplitMix64, see [Draws], in which no
// number comes twice.
func Rehash(key uint64, attempt int) uint64 {
	if attempt == 0 {
		return key
	}
	return mix(key + uint64(attempt)*0x9e3779b97f4a7c15)
}

// Accepts tells whether a member that takes only a share, 0 to 1, of its weight
// at present (because it starts slowly, say) takes a key that leads to it. It
// takes that share of all keys, and a larger share has the keys of a smaller one
// among its own.
//
// Asked in each attempt, with that attempt's key, this is rejection sampling: a
// member of weight w is found, and takes the key, with a probability proportional
// to w × share, which is therefore what it gets of all keys.
func Accepts(key, id uint64, share float64) bool {
	const other = 0xd1342543de82ef95 // not the hash that leads a key to a member
	return float64(fold(mix(key^other), factor(id))>>11)/(1<<53) < share
}

// mix spreads a number that is hardly random, such as one of a sequence, over
// all 64 bits, and keeps different numbers different: SplitMix64's finalizer.
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// fold makes one number of two that are mixed already, for less than mixing
// costs: the product's low half depends most on the low bits of both, the high
// half on the high ones (as in wyhash).
//
// https://github.com/wangyi-fudan/wyhash
func fold(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high ^ low
}

// factor is what a member's hash of a key has the key multiplied by. It is odd,
// so that even the low half tells different keys apart.
func factor(id uint64) uint64 { return Rehash(id, 1) | 1 }
