package balance

import (
	"math"
	"time"
)

// SuccessRateFloor is the success rate below which one of the given rates is an
// outlier: their mean less the given number of standard deviations.
//
// gRFC A50; Envoy's success_rate_stdev_factor.
func SuccessRateFloor(rates []float64, deviations float64) float64 {
	n := float64(len(rates))
	if n == 0 {
		return 0
	}
	var sum, squares float64
	for _, r := range rates {
		sum += r
	}
	mean := sum / n
	for _, r := range rates {
		squares += (r - mean) * (r - mean)
	}
	return mean - deviations*math.Sqrt(squares/n)
}

// EjectionTime is how long the n-th ejection in a row lasts, counted from one:
// n times the base, at most the limit, which the base itself may exceed.
//
// gRFC A50.
func EjectionTime(base, limit time.Duration, n int) time.Duration {
	limit = max(base, limit)
	if n > int(limit/base) {
		return limit
	}
	return min(base*time.Duration(n), limit)
}
