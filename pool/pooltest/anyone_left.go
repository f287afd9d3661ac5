package pooltest

import (
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"
)

// ExpectNoGETFails has one of the policies, with options by chance, serve GETs from
// upstreams that do as chance has it, one of which always answers. None must fail: there
// are retries enough for all upstreams. The test runs under synctest.
func ExpectNoGETFails(t *testing.T, seed uint64, policies []Object) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 3))
	maybe := func(of Object) Object {
		if random.IntN(2) == 0 {
			return nil
		}
		return of
	}
	n := 2 + random.IntN(4)
	config := With(policies[random.IntN(len(policies))], Object{"retries": n - 1})
	config = With(config, maybe(Object{"backups": []string{Dial(n - 1)}}))
	config = With(config, maybe(Object{"failback_delay": "20s"}))
	config = With(config, maybe(Object{"panic_threshold": random.IntN(3) * 50}))
	config = With(config, maybe(Object{"outlier_detection": Object{"max_ejection_percent": 100, "base_ejection_time": "10s"}}))
	config = With(config, maybe(Object{"queue": Object{"length": 100, "timeout": "10m"}, "default_max_requests": 1 + random.IntN(3)}))
	if n > 2 {
		config = With(config, maybe(Object{"priorities": Object{Dial(0): 1}}))
	}
	h := NewScripted(t, config, n)
	for phase := range 12 {
		answers := random.IntN(n)
		doing := make([]string, n)
		for i := range n {
			does := random.IntN(4)
			if i == answers {
				does = 0
			}
			doing[i] = []string{"answers", "refuses", "resets", "answers 500"}[does]
			acting := []Act{Answer(http.StatusOK), Refuse, Reset, Answer(http.StatusInternalServerError)}[does]
			takes := time.Duration(random.Int64N(int64(3 * time.Second)))
			ScriptAll(func(r *http.Request) (*http.Response, error) {
				time.Sleep(takes)
				return acting(r)
			}, Dial(i))
		}
		var crowd sync.WaitGroup
		for range 20 {
			begins := time.Duration(random.Int64N(int64(20 * time.Second)))
			crowd.Go(func() {
				time.Sleep(begins)
				if at, err := ServeWithRetries(h, http.MethodGet); err != nil {
					t.Errorf("seed %d, phase %d, %v, upstreams %v: tried %v: %v", seed, phase, config, doing, at, err)
				}
			})
		}
		crowd.Wait()
		for range 10 {
			if at, ok := ServeInTurn(h, http.MethodGet); !ok {
				t.Fatalf("seed %d, phase %d, %v, upstreams %v: tried %v", seed, phase, config, doing, at)
			}
			time.Sleep(time.Duration(random.Int64N(int64(time.Second))))
		}
		if random.IntN(3) == 0 {
			time.Sleep(time.Duration(random.Int64N(int64(40 * time.Second))))
		}

	}
}
