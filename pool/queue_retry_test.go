package pool_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

func TestRetryThatWaitsBlocksNoOther(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h := pooltest.NewQueued(t, pooltest.With(policy, object{"outlier_detection": object{"off": true}}), object{"length": 50, "timeout": "10s"}, 3, 1)
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

// A request waits only where an upstream is full. One on probation that has room
// serves a retry at once.
func TestRetryDoesNotWaitForOneOnProbationThatHasRoom(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h, victim := pooltest.NewOnProbation(t, pooltest.With(policy, object{"default_max_requests": 5, "queue": object{"length": 10, "timeout": "1s"}}), 2)
		pooltest.Script(victim, pooltest.Take(10*time.Second))
		before := pooltest.Tries(victim)
		var wg sync.WaitGroup
		for pooltest.Tries(victim) == before {
			pooltest.ServeAtOnce(t, &wg, h, 1)
		}
		r := pooltest.NewRequest()
		u := h.LoadBalancing.SelectionPolicy.Select(h.Upstreams, r, nil)
		if u == nil || u.Dial == victim {
			t.Fatalf("picked %v", u)
		}
		pooltest.Script(u.Dial, pooltest.Refuse)
		pooltest.Attempt(h, r, u)
		if got := pooltest.Pick(h, h.Upstreams, r); got != victim {
			t.Errorf("the retry goes to %s", got)
		}
		wg.Wait()
	})
}
