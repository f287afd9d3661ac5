package selectors

import (
	"strconv"
	"testing"
	"time"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// An upstream that answers a 5xx at once is not fast: it gets next to nothing,
// though its check passes and no option is set. When it does its work again, it
// gets requests again.
func TestWhoFailsFastAttractsNothing(t *testing.T) {
	for _, status := range []int{500, 501, 502, 503, 504, 505, 507, 599} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			pooltest.Test(t, func(t *testing.T) {
				h := pooltest.NewScripted(t, pooltest.With(object{"policy": "peak_ewma"}, pooltest.Checked), 3)
				pooltest.Script(pooltest.Dial(0), pooltest.Answer(status))
				pooltest.Script(pooltest.Dial(1), pooltest.Take(2*time.Millisecond))
				pooltest.Script(pooltest.Dial(2), pooltest.Take(2*time.Millisecond))
				failed := 0
				for range 500 {
					if pooltest.Serve(h, pooltest.NewRequest()) == pooltest.Dial(0) {
						failed++
					}
				}
				t.Logf("%d of 500 requests failed", failed)
				if failed > 5 {
					t.Errorf("%d of 500 requests went to one that fails them all", failed)
				}
				pooltest.Script(pooltest.Dial(0), pooltest.Take(time.Millisecond)) // and a little faster than the others
				before := pooltest.Tries(pooltest.Dial(0))
				for range 10_000 {
					pooltest.Serve(h, pooltest.NewRequest())
				}
				if got := pooltest.Tries(pooltest.Dial(0)) - before; got < 2000 {
					t.Errorf("%d of 10000 requests went to one that does its work again, and faster", got)
				}
			})
		})
	}
}
