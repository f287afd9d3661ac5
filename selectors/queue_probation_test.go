package selectors

import (
	"sync"
	"testing"
	"time"
)

// Only those wait in the queue whom somebody may serve that is full. One on
// probation that has room serves a retry at once.
func TestRetryDoesNotWaitForOneOnProbationThatHasRoom(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h, victim := onProbation(t, with(config, object{"default_max_requests": 5, "queue": object{"length": 10, "timeout": "1s"}}), 2)
		play(victim, take(10*time.Second))
		before := tries(victim)
		var wg sync.WaitGroup
		for tries(victim) == before {
			serveAtOnce(t, &wg, h, 1)
		}
		r := newRequest()
		u := h.LoadBalancing.SelectionPolicy.Select(h.Upstreams, r, nil)
		if u == nil || u.Dial == victim {
			t.Fatalf("picked %v", u)
		}
		play(u.Dial, refuse)
		attempt(h, r, u)
		if got := pick(h, h.Upstreams, r); got != victim {
			t.Errorf("the retry goes to %s", got)
		}
		wg.Wait()
	})
}
