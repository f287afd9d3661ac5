package balance

import (
	"math"
	"slices"
)

// Stride is a weighted round robin that stays cheap where a [Smooth] table
// would be too large. Like gRPC's static stride scheduler it goes round a list
// of slots and skips a slot in all rounds but those in which its share, added
// up, passes a whole number:
//
//	round:            0    1    2    3    4
//	share 0.4 added:  0.4  0.8  1.2  1.6  2.0   → taken in rounds 2 and 4
//
// gRPC has one slot for each candidate, so that the heaviest sets the pace and
// one heavy among many light ones costs long searches. Here a candidate has as
// many slots as its weight contains the mean weight, spread evenly over the
// list, and so half of all slots or more are taken. The shares of its slots are
// staggered: k slots of share x at offsets 0, 1/k, 2/k … take together as many
// picks as one of share kx (Hermite: Σ⌊x + c/k⌋ = ⌊kx⌋), never two too many.
//
// https://github.com/grpc/grpc-go/blob/master/balancer/weightedroundrobin/scheduler.go
type Stride struct {
	slots []slot
}

type slot struct {
	candidate uint32
	share     uint32 // in units of 2⁻³²; MaxUint32 is taken in every round
	offset    uint32 // likewise
	order     uint32 // place in the round, only for sorting
}

// Multiples of these two, modulo 2³², spread points as evenly over a square as can
// be, whatever their number: one is for a candidate's place in the round, the
// other for the round in which its share is full. Were the two not independent,
// the light ones of one half of the round would all be taken in the same rounds,
// and the heavy ones would be bunched in the others.
//
// M. Roberts, The Unreasonable Effectiveness of Quasirandom Sequences, 2018.
const (
	placeStep  = 3242174889 // 2³²/g, where g³ = g + 1
	offsetStep = 2447445414 // 2³²/g²
)

// NewStride returns the slots for the given weights, all above zero.
func NewStride(weights []uint32) *Stride {
	var total uint64
	same := true
	for _, w := range weights {
		total += uint64(w)
		same = same && w == weights[0]
	}
	mean := float64(total) / float64(len(weights))
	copies := func(w uint32) uint32 { return uint32(math.Ceil(float64(w) / mean)) }
	heaviest := 0.0
	for _, w := range weights {
		heaviest = max(heaviest, float64(w)/float64(copies(w)))
	}
	s := &Stride{slots: make([]slot, 0, 2*len(weights))}
	for i, w := range weights {
		n := copies(w)
		share := uint32(min(float64(w)/float64(n)/heaviest*(1<<32), math.MaxUint32))
		apart := uint32((1 << 32) / uint64(n))
		jump := coprime(n)
		for c := range n {
			s.slots = append(s.slots, slot{
				candidate: uint32(i),
				share:     share,
				offset:    uint32(uint64(c)*uint64(jump)%uint64(n))*apart + uint32(i)*offsetStep,
				order:     c*apart + uint32(i)*placeStep/n,
			})
		}
	}
	if !same { // equal weights stay in the order they are given in
		slices.SortStableFunc(s.slots, func(a, b slot) int {
			switch {
			case a.order < b.order:
				return -1
			case a.order > b.order:
				return 1
			}
			return 0
		})
	}
	return s
}

// coprime returns a number that has no divisor in common with n, close to n over
// the golden ratio: steps of that size visit all of n, far from each other.
func coprime(n uint32) uint32 {
	m := max(uint32(float64(n)*0.618), 1)
	for gcd([]uint32{m, n}) != 1 {
		m++
	}
	return m
}

// At returns the candidate whose turn the n-th step is, or false where the
// step is skipped. Half of all steps or more are not.
func (s *Stride) At(n uint64) (int, bool) {
	size := uint64(len(s.slots))
	round := uint32(n / size)
	t := &s.slots[n%size]
	if t.share == math.MaxUint32 {
		return int(t.candidate), true
	}
	sum := uint64(round*t.share+t.offset) + uint64(t.share)
	return int(t.candidate), sum > math.MaxUint32
}

// Steps is the number of steps in a round.
func (s *Stride) Steps() int { return len(s.slots) }
