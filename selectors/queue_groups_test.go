package selectors

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

func TestStrictSessionBlocksNobodyElse(t *testing.T) {
	forWays(t, func(t *testing.T, open opener) {
		h := open(3, object{"strict": true, "queue": object{"length": 50, "timeout": "10s"}}, object{"max_requests": 1})
		b := settled(t, h, pooltest.Dial(0))
		u := h.Upstreams[0]
		defer pooltest.SetActive(u, 0)
		pooltest.SetActive(u, 1)
		first := visits(t, h, b)
		second := visits(t, h, b.clone())
		pooltest.ExpectOthersServed(t, h, pooltest.Dial(0))
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if len(first)+len(second) > 0 {
			t.Fatal("the upstream is full, and its sessions do not wait")
		}
		pooltest.ExpectOthersServed(t, h, pooltest.Dial(0))
		pooltest.SetActive(u, 0)
		if got := <-first; got.by != pooltest.Dial(0) {
			t.Errorf("there is room for the first: %+v", got)
		}
		if got := <-second; got.by != pooltest.Dial(0) {
			t.Errorf("there is room for the second: %+v", got)
		}
	})
}

func TestRetryBlocksNobodyElse(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := pooltest.NewQueued(t, pooltest.With(config, object{"outlier_detection": object{"off": true}}), object{"length": 50, "timeout": "10s"}, 3, 1)
		// A request has failed on the first two, and the third is full.
		r := pooltest.NewRequest()
		pooltest.SetActive(h.Upstreams[2], 1)
		for range 2 {
			u := h.LoadBalancing.SelectionPolicy.Select(h.Upstreams, r, nil)
			if u == nil || u == h.Upstreams[2] {
				t.Fatalf("picked %v", u)
			}
			pooltest.Script(u.Dial, func(*http.Request) (*http.Response, error) { return nil, fmt.Errorf("reset") })
			pooltest.Attempt(h, r, u)
			pooltest.Script(u.Dial, nil)
		}
		waiting := pooltest.Arrive(h, r)
		if len(waiting) > 0 {
			t.Fatalf("it does not wait: %+v", <-waiting)
		}
		pooltest.ExpectOthersServed(t, h, pooltest.Dial(2))
		pooltest.SetActive(h.Upstreams[2], 0)
		if got := <-waiting; got.Picked != pooltest.Dial(2) {
			t.Errorf("there is room for who has waited: %+v", got)
		}
	})
}
