package selectors

import (
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// An ejected upstream gets nothing, then one request that tests it, and then its part
// again.
func TestEjectedGetsNothingUntilItsProbation(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h, victim := pooltest.NewEjected(t, config, 4)
		pooltest.ExpectTries(t, h, "ejected", victim, 50, 0)
		time.Sleep(30 * time.Second)
		pooltest.ExpectTries(t, h, "on probation, and it fails", victim, 50, 1)
		time.Sleep(60 * time.Second)
		pooltest.FailUntil(t, h, victim, nil, pooltest.Tries(victim)+10)
	})
}

// Two handlers, of two policies, know of the same probation.
func TestProbationIsOneRequestAtATime(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h, victim := pooltest.NewOnProbation(t, config, 4)
		other := pooltest.NewScripted(t, object{"policy": "weighted_random"}, 4)
		var c pooltest.Crowd
		pooltest.Script(victim, c.Take(10*time.Second))
		before := pooltest.Tries(victim)
		var wg sync.WaitGroup
		for range 2 {
			pooltest.ServeAtOnce(t, &wg, h, 30)
			pooltest.ServeAtOnce(t, &wg, other, 30)
			time.Sleep(3 * time.Second)
		}
		if got := pooltest.Tries(victim) - before; got != 1 || c.Most() != 1 {
			t.Errorf("%d attempts, %d at a time", got, c.Most())
		}
		wg.Wait()
	})
}

// Another handler, which has more upstreams, may eject all of this one's. They are
// picked nevertheless, and likewise when all are on probation, be they busy.
func TestWhereAllAreEjectedAllAreUsed(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		more := pooltest.NewScripted(t, pooltest.With(object{"policy": "smooth_weighted_round_robin"}, pooltest.LongEjections), 3)
		h := pooltest.NewScripted(t, pooltest.With(config, pooltest.LongEjections), 2)
		for i := range 2 {
			pooltest.FailUntil(t, more, pooltest.Dial(i), pooltest.Refuse, pooltest.Tries(pooltest.Dial(i))+5)
			pooltest.Script(pooltest.Dial(i), pooltest.Take(time.Minute))
		}
		for _, when := range []string{"ejected", "on probation"} {
			var wg sync.WaitGroup
			pooltest.ServeAtOnce(t, &wg, h, 20)
			if got := pooltest.PicksOfClients(h, 20); got[pooltest.None] > 0 {
				t.Errorf("%s, and busy: %v", when, got)
			}
			wg.Wait()
			time.Sleep(10 * time.Minute)
			synctest.Wait()
		}
	})
}

func TestRetryAvoidsAllThatWasTried(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := pooltest.NewScripted(t, config, 3)
		for i := range 6 {
			pooltest.Script(pooltest.Dial(i), pooltest.Refuse)
		}
		for _, upstreams := range [][]*reverseproxy.Upstream{h.Upstreams, pooltest.Upstreams(3, 4, 5)} {
			for range 4 { // one less than failures eject for
				r := pooltest.NewRequest()
				tried := make(map[string]bool)
				for range 3 {
					u := h.LoadBalancing.SelectionPolicy.Select(upstreams, r, nil)
					if u == nil || tried[u.Dial] {
						t.Fatalf("tried %v, then picked %v", tried, u)
					}
					tried[u.Dial] = true
					pooltest.Attempt(h, r, u)
				}
				if pooltest.Pick(h, upstreams, r) == pooltest.None {
					t.Error("all were tried: any may be tried again")
				}
			}
		}
	})
}

// A retry goes to the next level, then to a backup, before it is repeated anywhere.
func TestRetryFailsOverToTheNextLevelAndToBackups(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := pooltest.NewScripted(t, pooltest.With(config, pooltest.With(pooltest.SecondLevel(2, 4), pooltest.Backups(4, 5))), 5)
		for i := range 5 {
			pooltest.Script(pooltest.Dial(i), pooltest.Refuse)
		}
		r, got := pooltest.NewRequest(), make(map[string]int)
		for n := 1; n <= 5; n++ {
			got[pooltest.Serve(h, r)]++
			first, second := pooltest.Sum(got, 0, 2), pooltest.Sum(got, 2, 4)
			if first != min(n, 2) || second != max(0, min(n, 4)-2) || len(got) != n {
				t.Fatalf("after %d attempts: %v", n, got)
			}
		}
	})
}

// A retry prefers one that is well to those on probation, and those that are ejected
// to failing.
func TestRetryOrder(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h, ejected, last := pooltest.NewAllButOneEjected(t, config, 4)
		pooltest.ScriptAll(pooltest.Answer(http.StatusOK), ejected...)
		pooltest.Script(last, pooltest.Refuse)
		if at, ok := pooltest.ServeInTurn(h, http.MethodGet); !ok || len(at) != 2 || at[0] != last {
			t.Fatalf("attempts on %v, answered %t; the others are ejected, but answer", at, ok)
		}
	})
	forAll(t, func(t *testing.T, config object) {
		h, ejected, last := pooltest.NewAllButOneEjected(t, config, 4)
		pooltest.ScriptAll(pooltest.Refuse, ejected...)
		time.Sleep(15 * time.Minute)
		synctest.Wait()
		for range 5 {
			if at, ok := pooltest.ServeInTurn(h, http.MethodGet); !ok || len(at) > 2 || at[len(at)-1] != last {
				t.Fatalf("attempts on %v, answered %t; %s is well, the others are on probation", at, ok, last)
			}
		}
	})
}

// While one upstream answers, and there are retries enough for all, no GET fails.
func TestNoGETFailsWhileOneUpstreamAnswers(t *testing.T) {
	for seed := range uint64(12) {
		pooltest.Test(t, func(t *testing.T) {
			pooltest.ExpectNoGETFails(t, seed, []object{
				{"policy": "smooth_weighted_round_robin"}, {"policy": "least_request"}, {"policy": "peak_ewma"},
				{"policy": "sticky"}, {"policy": "maglev", "key": "{http.request.uri}"},
			})
		})
	}
}
