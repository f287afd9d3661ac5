package selectors

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// No more are picked for than there are slots, and no fewer; a slot whose pick no
// attempt follows comes back.
func TestLimitHolds(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := pooltest.NewScripted(t, pooltest.With(config, object{"default_max_requests": 3}), 2)
		defer pooltest.SetActive(h.Upstreams[0], 0)
		pooltest.SetActive(h.Upstreams[0], 1)
		for _, when := range []string{"at first", "the requests have ended"} {
			got, end := pooltest.HeldPicks(h, 20)
			if got[pooltest.Dial(0)] != 2 || got[pooltest.Dial(1)] != 3 || got[pooltest.None] != 15 {
				t.Errorf("%s: %v", when, got)
			}
			end()
		}
	})
}

// A drained upstream, and one that is full, leave traffic to the next level and to
// backups.
func TestDrainedAndFullOnesLeaveTrafficToOthers(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		levels := pooltest.With(pooltest.SecondLevel(1, 2), pooltest.Backups(2, 3))
		h := pooltest.NewScripted(t, pooltest.With(config, pooltest.With(pooltest.Reporting, levels)), 3, object{"max_requests": 1000})
		defer pooltest.SetActive(h.Upstreams[1], 0)
		pooltest.ExpectAll(t, "all are well", h, 0, 1)
		pooltest.Report(pooltest.Dial(0), healthcheck.Report{Order: healthcheck.Order{Mode: healthcheck.Drain}})
		pooltest.ExpectAll(t, "the first is drained", h, 1, 2)
		pooltest.SetActive(h.Upstreams[1], 1000)
		pooltest.ExpectAll(t, "the second is full", h, 2, 3)
	})
}

// Requests that come faster than they are served are served in the order in which
// they came, as many at once as there is room for.
func TestQueueKeepsItsOrder(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		const requests, limit = 60, 2
		h := pooltest.NewQueued(t, config, object{"length": requests}, 2, limit)
		var mu sync.Mutex
		var order []int
		crowds := make([]pooltest.Crowd, 2)
		for i := range crowds {
			pooltest.Script(pooltest.Dial(i), func(r *http.Request) (*http.Response, error) {
				mu.Lock()
				order = append(order, r.Context().Value(numberKey{}).(int))
				mu.Unlock()
				return crowds[i].Take(50 * time.Millisecond)(r)
			})
		}
		var wg sync.WaitGroup
		for i := range requests {
			r := pooltest.NewRequest()
			r = r.WithContext(contextWith(r, numberKey{}, i))
			wg.Go(func() {
				if pooltest.ServeCounted(h, r, httptest.NewRecorder()) == pooltest.None {
					t.Errorf("request %d was refused", i)
				}
			})
			time.Sleep(time.Millisecond)
		}
		wg.Wait()
		if !slices.IsSorted(order) || len(order) != requests {
			t.Errorf("%d were served, in this order: %v", len(order), order)
		}
		if crowds[0].Most() != limit || crowds[1].Most() != limit {
			t.Errorf("%d and %d at a time", crowds[0].Most(), crowds[1].Most())
		}
	})
}

// numberKey is where a request's context has its number.
type numberKey struct{}

// A request is refused where the queue is full, on retries as well, and where it has
// waited for too long. It is told when to come again, unless the policy is inside one
// of Caddy's that leaves those inside without the response.
func TestQueueRefuses(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		refused := pooltest.Outcome{Picked: pooltest.None, RetryAfter: "1"}
		if strings.HasSuffix(t.Name(), "_inside_header") || strings.HasSuffix(t.Name(), "_inside_query") {
			refused.RetryAfter = ""
		}
		h := pooltest.NewQueued(t, config, object{"length": 1, "timeout": "10s"}, 1, 1)
		pooltest.SetActive(h.Upstreams[0], 1)
		waiting := pooltest.Arrive(h, pooltest.NewRequest())
		r := pooltest.NewRequest()
		for range 2 {
			if got := <-pooltest.Arrive(h, r); got != refused {
				t.Errorf("the queue is full: %+v", got)
			}
		}
		time.Sleep(10 * time.Second)
		if got := <-waiting; got != refused {
			t.Errorf("it has waited for ten seconds: %+v", got)
		}
	})
}
