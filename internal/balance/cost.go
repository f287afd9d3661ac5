package balance

import "math"

// RequestCost is what least_request compares: (active+1)^bias / weight. With
// bias 1 it is the share of an upstream's weight that one more request would
// make busy; with bias 0 the requests in flight do not count, above 1 they
// count for more than the weight does.
func RequestCost(active int, weight uint32, bias float64) float64 {
	if bias == 1 {
		return float64(active+1) / float64(weight)
	}
	return math.Pow(float64(active+1), bias) / float64(weight)
}
