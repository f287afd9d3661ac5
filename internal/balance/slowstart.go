package balance

import (
	"math"
	"time"
)

// leastShare is what an upstream gets of its weight when it has just come back.
const leastShare = 0.1

// SlowStart is the share of its weight that an upstream gets at the given age
// within the window: age/window to the power of 1/aggression, a tenth at least.
// With aggression 1 it grows evenly; above that, fast at first.
//
// Envoy's slow start; the floor is its min_weight_percent.
func SlowStart(age, window time.Duration, aggression float64) float64 {
	if age >= window {
		return 1
	}
	return max(leastShare, math.Pow(float64(max(age, 0))/float64(window), 1/aggression))
}

// SlowStartAge is the age at which [SlowStart] reaches the given share, which
// lies between a tenth and one.
func SlowStartAge(share float64, window time.Duration, aggression float64) time.Duration {
	return time.Duration(math.Pow(share, aggression) * float64(window))
}
