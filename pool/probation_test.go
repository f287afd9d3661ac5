package pool_test

import (
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// Two handlers, of two policies, know of the same probation.
func TestProbationIsOneRequestAtATime(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h, victim := pooltest.NewOnProbation(t, policy, 4)
		other := pooltest.NewScripted(t, pooltest.ByWeight, 4)
		var c pooltest.Crowd
		pooltest.Script(victim, c.Take(10*time.Second))
		before := pooltest.Tries(victim)
		var wg sync.WaitGroup
		for range 3 {
			pooltest.ServeAtOnce(t, &wg, h, 50)
			pooltest.ServeAtOnce(t, &wg, other, 50)
			time.Sleep(3 * time.Second)
		}
		if got := pooltest.Tries(victim) - before; got != 1 || c.Most() != 1 {
			t.Errorf("%d attempts, %d at a time", got, c.Most())
		}
		wg.Wait()
		for i := range 4 { // all as fast as each other, for policies that heed that
			pooltest.Script(pooltest.Dial(i), pooltest.Take(time.Second))
		}
		pooltest.FailUntil(t, h, victim, pooltest.Take(time.Second), pooltest.Tries(victim)+5)
		pooltest.FailUntil(t, other, victim, pooltest.Take(time.Second), pooltest.Tries(victim)+5)
	})
}

// A probation that fails costs one request, however many come meanwhile.
func TestProbationThatFailsCostsOneRequest(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h, victim := pooltest.NewOnProbation(t, policy, 4)
		pooltest.Script(victim, func(r *http.Request) (*http.Response, error) {
			time.Sleep(1200 * time.Millisecond)
			return pooltest.Refuse(r)
		})
		before := pooltest.Tries(victim)
		var wg sync.WaitGroup
		for range 5 {
			pooltest.ServeAtOnce(t, &wg, h, 50)
			time.Sleep(500 * time.Millisecond)
		}
		wg.Wait()
		if got := pooltest.Tries(victim) - before; got != 1 {
			t.Errorf("%d attempts", got)
		}
	})
}

// A pick that no attempt follows keeps others away until its request ends.
func TestClaimOnProbationIsGivenBack(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h, victim := pooltest.NewOnProbation(t, policy, 4)
		for n := range 3 {
			got, end := pooltest.HeldPicks(h, 100)
			if got[victim] != 1 || got[pooltest.None] > 0 {
				t.Errorf("time %d: %v", n, got)
			}
			time.Sleep(time.Minute)
			others, endOthers := pooltest.HeldPicks(h, 100)
			if others[victim] != 0 {
				t.Errorf("time %d, a minute later: %v", n, others)
			}
			end()
			endOthers()
		}
	})
}

// Better one on probation than one that has failed the request.
func TestRetryGoesToOneOnProbationThoughItHasItsRequest(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h, victim := pooltest.NewOnProbation(t, policy, 2)
		pooltest.Script(victim, pooltest.Take(10*time.Second))
		var wg sync.WaitGroup
		for pooltest.Tries(victim) == 5 {
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

// Another handler, which has more upstreams, may eject all of this one's. They are
// picked nevertheless, and likewise when all are on probation.
func TestWhereAllAreEjectedOrOnProbationAllAreUsed(t *testing.T) {
	for name, threshold := range map[string]object{"by default": nil, "no panic": {"panic_threshold": 0}} {
		t.Run(name, func(t *testing.T) {
			forBoth(t, func(t *testing.T, policy object) {
				more := pooltest.NewScripted(t, pooltest.With(pooltest.ByWeight, pooltest.LongEjections), 3)
				h := pooltest.NewScripted(t, pooltest.With(policy, pooltest.With(pooltest.LongEjections, threshold)), 2)
				for i := range 2 {
					pooltest.FailUntil(t, more, pooltest.Dial(i), pooltest.Refuse, pooltest.Tries(pooltest.Dial(i))+5)
					pooltest.Script(pooltest.Dial(i), pooltest.Take(time.Minute))
				}
				expect := func(when string) {
					t.Helper()
					if got := pooltest.PicksOfClients(h, 40); got[pooltest.None] > 0 {
						t.Errorf("%s: %v", when, got)
					}
					var wg sync.WaitGroup
					pooltest.ServeAtOnce(t, &wg, h, 40)
					if got := pooltest.PicksOfClients(h, 40); got[pooltest.None] > 0 {
						t.Errorf("%s, and busy: %v", when, got)
					}
					wg.Wait()
				}
				expect("ejected")
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				expect("on probation")
			})
		})
	}
}
