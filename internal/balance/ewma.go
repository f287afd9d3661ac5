package balance

import (
	"math"
	"time"
)

// PeakEWMA returns the latency estimate after a sample, given the estimate
// before (zero for none) and the time since that was made. A sample above the
// estimate replaces it at once; one below pulls it down as an exponentially
// weighted moving average does whose weights fall to 1/e within decay.
//
// Finagle's PeakEwma: sensitive to peaks, slow to forget them. Here the
// estimate changes when a sample comes, and only then: one that faded with time
// would make whoever is not picked look ever faster.
func PeakEWMA(estimate, sample, since, decay time.Duration) time.Duration {
	if estimate == 0 || sample >= estimate {
		return max(sample, 1)
	}
	w := math.Exp(-float64(max(since, 0)) / float64(decay))
	return max(time.Duration(float64(estimate)*w+float64(sample)*(1-w)), 1)
}

// Deviation returns by how much samples differ from the estimate in the mean,
// given the deviation and the estimate (zero for none) before the sample: TCP's
// RTTVAR, with its gain (RFC 6298, 2).
func Deviation(deviation, estimate, sample time.Duration) time.Duration {
	if estimate == 0 {
		return max(sample/2, 1)
	}
	off := (sample - estimate).Abs()
	return max(deviation+(off-deviation)/4, 1)
}

// What a failed attempt counts as, at least and at most.
const (
	minPenalty = time.Second
	maxPenalty = 5 * time.Minute
)

// Penalty is the sample that a failed attempt counts as: twice the estimate,
// at least a second. Without a bound, failures in a row would never be lived
// down: it is at most five minutes.
func Penalty(estimate time.Duration) time.Duration {
	return min(max(2*min(estimate, maxPenalty), minPenalty), maxPenalty)
}
