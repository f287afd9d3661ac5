package balance

import "math"

// Alias picks at random by weight in constant time: Walker's alias method, in
// Vose's construction. The whole is cut into as many equal columns as there
// are candidates, and each column is shared by at most two of them.
//
// M. D. Vose, A Linear Algorithm for Generating Random Numbers with a Given
// Distribution, 1991.
type Alias struct {
	n       int
	columns []column // nil where all weights are equal
}

type column struct {
	own   uint32 // part of the column that is the candidate's own, of 2³²−1
	other uint32 // whose the rest is
}

// NewAlias returns the table for the given weights, all above zero.
func NewAlias(weights []uint32) *Alias {
	a := &Alias{n: len(weights)}
	var total float64
	same := true
	for _, w := range weights {
		total += float64(w)
		same = same && w == weights[0]
	}
	if same {
		return a
	}
	a.columns = make([]column, len(weights))
	height := make([]float64, len(weights)) // in columns
	var small, large []uint32
	for i, w := range weights {
		height[i] = float64(w) * float64(len(weights)) / total
		if height[i] < 1 {
			small = append(small, uint32(i))
		} else {
			large = append(large, uint32(i))
		}
	}
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		a.columns[s] = column{own: uint32(height[s] * math.MaxUint32), other: l}
		height[l] -= 1 - height[s]
		if height[l] < 1 {
			large = large[:len(large)-1]
			small = append(small, l)
		}
	}
	// What is left fills its column, but for rounding.
	for _, i := range append(small, large...) {
		a.columns[i] = column{own: math.MaxUint32, other: i}
	}
	return a
}

// Pick returns a candidate; u is uniformly random.
func (a *Alias) Pick(u uint64) int {
	i := (u >> 32) * uint64(a.n) >> 32
	if a.columns == nil {
		return int(i)
	}
	c := a.columns[i]
	if uint32(u) < c.own {
		return int(i)
	}
	return int(c.other)
}
