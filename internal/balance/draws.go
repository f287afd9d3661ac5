package balance

// Draws makes any number of small random numbers of one large one, so that a
// pick asks its source of randomness once: SplitMix64, started at the draw.
//
// G. L. Steele, D. Lea, C. H. Flood, Fast Splittable Pseudorandom Number
// Generators, 2014.
type Draws uint64

// Below returns a number from 0 to n−1; n is at most 2³².
func (d *Draws) Below(n int) int {
	*d += 0x9e3779b97f4a7c15
	// The high half scaled down (Lemire): the bias is below n/2³².
	return int((mix(uint64(*d)) >> 32) * uint64(n) >> 32)
}
