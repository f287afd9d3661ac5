// Package instant counts time as nanoseconds in an int64: unlike a time.Time, it
// fits an atomic, and 0 can stand for "never".
package instant

import "time"

// base lies so far back that no instant is 0 or less, under a fake clock either.
var base = time.Now().Add(-100 * 365 * 24 * time.Hour)

// Of returns the instant of t.
func Of(t time.Time) int64 { return int64(t.Sub(base)) }

// Now returns the current instant.
func Now() int64 { return Of(time.Now()) }
