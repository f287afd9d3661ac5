package selectors

import (
	"sync"
	"testing"
	"time"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// Only those wait in the queue whom somebody may serve that is full. One on
// probation that has room serves a retry at once.
func TestRetryDoesNotWaitForOneOnProbationThatHasRoom(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h, victim := pooltest.NewOnProbation(t, pooltest.With(config, object{"default_max_requests": 5, "queue": object{"length": 10, "timeout": "1s"}}), 2)
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
