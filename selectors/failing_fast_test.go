package selectors

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// An upstream that answers a 5xx at once is not fast: it gets next to nothing,
// though its check passes and no option is set. When it does its work again, it
// gets requests again.
func TestWhoFailsFastAttractsNothing(t *testing.T) {
	for _, status := range []int{500, 501, 502, 503, 504, 505, 507, 599} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			isolate()
			synctest.Test(t, func(t *testing.T) {
				h := staged(t, with(object{"policy": "peak_ewma"}, checked), 3)
				play(dial(0), answer(status))
				play(dial(1), take(2*time.Millisecond))
				play(dial(2), take(2*time.Millisecond))
				failed := 0
				for range 500 {
					if serve(h, newRequest()) == dial(0) {
						failed++
					}
				}
				t.Logf("%d of 500 requests failed", failed)
				if failed > 5 {
					t.Errorf("%d of 500 requests went to one that fails them all", failed)
				}
				play(dial(0), take(time.Millisecond)) // and a little faster than the others
				before := tries(dial(0))
				for range 10_000 {
					serve(h, newRequest())
				}
				if got := tries(dial(0)) - before; got < 2000 {
					t.Errorf("%d of 10000 requests went to one that does its work again, and faster", got)
				}
			})
		})
	}
}
