package selectors

import (
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// Sessions come and go while upstreams do: nobody is lost, and what the client is
// told names who has answered.
func TestConcurrentSessionsWhileVerdictsFlip(t *testing.T) {
	forWays(t, func(t *testing.T, open opener) {
		h := open(5, pooltest.Checked)
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				b, last := newBrowser(), ""
				for {
					select {
					case <-stop:
						return
					default:
					}
					got := b.visit(t, h)
					told := len(got.set) > 0 || got.header.Get(field) != ""
					if got.by == pooltest.None || len(got.set) > 1 || got.by != last && !told {
						t.Errorf("%+v, before it was %s", got, last)
						return
					}
					if last = got.by; rand.IntN(10) == 0 {
						b, last = newBrowser(), ""
					}
					time.Sleep(20 * time.Millisecond) // lets the bubble's clock go on
				}
			})
		}
		for i := range 5 {
			pooltest.SetDown(pooltest.Dial(i), pooltest.Dial((i+1)%5))
		}
		close(stop)
		wg.Wait()
	})
}

// Sessions of many upstreams stay apart.
func TestManyUpstreams(t *testing.T) {
	pooltest.Isolate()
	const n = 10_000
	h := pooltest.NewHandler(t, sticky(), n)
	s := signer{[]byte(secret)}
	for i := 0; i < n; i += 7 {
		r := pooltest.NewRequest()
		r.Header.Set("Cookie", "lb="+s.token(pooltest.Dial(i)))
		w := &discard{make(http.Header)}
		if u := h.LoadBalancing.SelectionPolicy.Select(h.Upstreams, r, w); u != h.Upstreams[i] || len(w.header) > 0 {
			t.Fatalf("number %d: %v, %v", i, u, w.header)
		}
	}
}

// A pick for a session that is known allocates nothing.
func TestKnownSessionAllocatesNothing(t *testing.T) {
	h := pooltest.NewHandler(t, sticky(), 100)
	r, w := pooltest.NewRequest(), &discard{make(http.Header)}
	r.Header.Set("Cookie", "a=b; lb="+signer{[]byte(secret)}.token(pooltest.Dial(42)))
	if n := testing.AllocsPerRun(100, func() {
		if h.LoadBalancing.SelectionPolicy.Select(h.Upstreams, r, w) != h.Upstreams[42] {
			t.Error("it is not known")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
