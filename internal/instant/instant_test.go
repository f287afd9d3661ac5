package instant

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestInstantsAreAboveZeroAndRiseWithTime(t *testing.T) {
	check := func(t *testing.T) {
		now := time.Now()
		if at := Of(now); at <= 0 || Now() < at || Of(now.Add(time.Second)) != at+int64(time.Second) {
			t.Errorf("%v is the instant %d", now, at)
		}
	}
	check(t)
	synctest.Test(t, check) // its clock starts in the year 2000
}
