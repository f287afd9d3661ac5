package selectors

import (
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// While one upstream answers, and there are retries enough for all, no GET fails:
// whatever the others do, and have done, and whatever the options are.
func TestNoGETFailsWhileSomebodyAnswers(t *testing.T) {
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			pooltest.Isolate()
			random := rand.New(rand.NewPCG(seed, 3))
			maybe := func(of object) object {
				if random.IntN(2) == 0 {
					return nil
				}
				return of
			}
			n := 2 + random.IntN(4)
			names := []string{"smooth_weighted_round_robin", "weighted_random", "least_request", "peak_ewma", "sticky", "maglev"}
			config := object{"policy": names[random.IntN(len(names))], "retries": n - 1}
			if config["policy"] == "maglev" {
				config["key"] = "{http.request.uri}"
			}
			config = pooltest.With(config, maybe(object{"backups": []string{pooltest.Dial(n - 1)}}))
			config = pooltest.With(config, maybe(object{"failback_delay": "20s"}))
			config = pooltest.With(config, maybe(object{"panic_threshold": random.IntN(3) * 50}))
			config = pooltest.With(config, maybe(object{"outlier_detection": object{"max_ejection_percent": 100, "base_ejection_time": "10s"}}))
			config = pooltest.With(config, maybe(object{"queue": object{"length": 100, "timeout": "10m"}, "default_max_requests": 1 + random.IntN(3)}))
			if n > 2 {
				config = pooltest.With(config, maybe(object{"priorities": object{pooltest.Dial(0): 1}}))
			}
			h := pooltest.NewScripted(t, config, n)
			for phase := range 12 {
				answers := random.IntN(n)
				doing := make([]string, n)
				for i := range n {
					does := random.IntN(4)
					if i == answers {
						does = 0
					}
					doing[i] = []string{"answers", "refuses", "resets", "answers 500"}[does]
					acting := []pooltest.Act{pooltest.Answer(http.StatusOK), pooltest.Refuse, pooltest.Reset, pooltest.Answer(http.StatusInternalServerError)}[does]
					takes := time.Duration(random.Int64N(int64(3 * time.Second)))
					pooltest.ScriptAll(func(r *http.Request) (*http.Response, error) {
						time.Sleep(takes)
						return acting(r)
					}, pooltest.Dial(i))
				}
				var crowd sync.WaitGroup
				for range 20 {
					begins := time.Duration(random.Int64N(int64(20 * time.Second)))
					crowd.Go(func() {
						time.Sleep(begins)
						if at, err := pooltest.ServeWithRetries(h, http.MethodGet); err != nil {
							t.Errorf("seed %d, phase %d, %v, upstreams %v: tried %v: %v", seed, phase, config, doing, at, err)
						}
					})
				}
				crowd.Wait()
				for range 10 {
					if at, ok := pooltest.ServeInTurn(h, http.MethodGet); !ok {
						t.Fatalf("seed %d, phase %d, %v, upstreams %v: tried %v", seed, phase, config, doing, at)
					}
					time.Sleep(time.Duration(random.Int64N(int64(time.Second))))
				}
				if random.IntN(3) == 0 {
					time.Sleep(time.Duration(random.Int64N(int64(40 * time.Second))))
				}

			}
		})
	}
}
