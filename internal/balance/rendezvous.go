package balance

import "math"

// Rendezvous gives a key to the member with the highest score for it. Whoever
// leaves leaves only its own keys to others, and whoever comes takes only what
// will be its own. A lookup asks all members.
//
// The score is −w/ln(u), where w is the weight and u, uniform between 0 and 1,
// a hash of key and member. The largest score is the least −ln(u)/w. Such a
// number is distributed exponentially, at the rate w, and each of several is the
// least with the probability that is its part in all rates.
//
// D. G. Thaler, C. V. Ravishankar, Using Name-Based Mappings to Increase Hit
// Rates, 1998; with weights: J. Resch, New Hashing Algorithms for Data Storage,
// 2015.
type Rendezvous struct {
	factors []uint64
	units   []float64 // 1/weight; nil where all weights are equal
	places  []uint32
}

// NewRendezvous returns the table for the given members.
func NewRendezvous(members []Member) *Rendezvous {
	r := &Rendezvous{}
	equal := true
	for _, s := range seated(members) {
		r.factors = append(r.factors, factor(s.id))
		r.units = append(r.units, 1/float64(s.weight))
		r.places = append(r.places, s.place)
		equal = equal && s.weight == members[0].Weight
	}
	if equal {
		r.units = nil
	}
	return r
}

// At returns the place of the member that has the key.
func (r *Rendezvous) At(key uint64) int {
	key = mix(key)
	if r.units != nil {
		return int(r.places[r.weighted(key)])
	}
	winner, most := 0, uint64(0)
	for i, f := range r.factors {
		if u := fold(key, f); u > most {
			winner, most = i, u
		}
	}
	return int(r.places[winner])
}

// weighted returns which one has a mixed key where weights differ.
//
// With x for 1−u, −ln(u) is between x and x/(1−x). So logarithms are needed only
// where the least x/w and the second least are that close. The search for these
// two has no branches for the processor to guess wrong: both are the bits of a
// float, which are in the order of the numbers, but for the last ones, which tell
// whose it is.
func (r *Rendezvous) weighted(key uint64) int {
	least, second := ^uint64(0), ^uint64(0)
	units := r.units[:len(r.factors)]
	for i, f := range r.factors {
		b := math.Float64bits(rest(key, f)*units[i])&^seatMask | uint64(i)
		second = min(second, max(least, b))
		least = min(least, b)
	}
	winner := int(least & seatMask)
	x := rest(key, r.factors[winner])
	if bound := x / (1 - x) * units[winner]; math.Float64bits(bound) > second {
		return r.closest(key)
	}
	return winner
}

// closest returns the one with the least −ln(u)/w for a mixed key.
func (r *Rendezvous) closest(key uint64) (winner int) {
	least := math.Inf(1)
	for i, f := range r.factors {
		x := rest(key, f)
		if x*r.units[i] >= least {
			continue // and −ln(u)/w is no less than x/w
		}
		if y := -math.Log1p(-x) * r.units[i]; y < least {
			winner, least = i, y
		}
	}
	return winner
}

// rest is 1−u for a mixed key, neither 0 nor 1.
func rest(key, factor uint64) float64 {
	return (float64(int64(^fold(key, factor)>>12)) + 0.5) / (1 << 52)
}
