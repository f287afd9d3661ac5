package selectors

import (
	"context"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// While one upstream answers, and there are retries enough for all, no GET fails:
// whatever the others do, and have done, and whatever the options are.
func TestNoGETFailsWhileSomebodyAnswers(t *testing.T) {
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			isolate()
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
			config = with(config, maybe(object{"backups": []string{dial(n - 1)}}))
			config = with(config, maybe(object{"failback_delay": "20s"}))
			config = with(config, maybe(object{"panic_threshold": random.IntN(3) * 50}))
			config = with(config, maybe(object{"outlier_detection": object{"max_ejection_percent": 100, "base_ejection_time": "10s"}}))
			config = with(config, maybe(object{"queue": object{"length": 100, "timeout": "10m"}, "default_max_requests": 1 + random.IntN(3)}))
			if n > 2 {
				config = with(config, maybe(object{"priorities": object{dial(0): 1}}))
			}
			h := staged(t, config, n)
			for phase := range 12 {
				answers := random.IntN(n)
				doing := make([]string, n)
				for i := range n {
					does := random.IntN(4)
					if i == answers {
						does = 0
					}
					doing[i] = []string{"answers", "refuses", "resets", "answers 500"}[does]
					acting := []act{answer(http.StatusOK), refuse, reset, answer(http.StatusInternalServerError)}[does]
					takes := time.Duration(random.Int64N(int64(3 * time.Second)))
					cast(func(r *http.Request) (*http.Response, error) {
						time.Sleep(takes)
						return acting(r)
					}, dial(i))
				}
				var crowd sync.WaitGroup
				for range 20 {
					begins := time.Duration(random.Int64N(int64(20 * time.Second)))
					crowd.Go(func() {
						time.Sleep(begins)
						var at []string
						ctx, end := context.WithCancel(context.Background())
						defer end()
						r := asked("/")
						r = r.WithContext(contextWith(r.WithContext(joined(ctx, r.Context())), visited{}, &at))
						if err := h.ServeHTTP(httptest.NewRecorder(), r, nil); err != nil {
							t.Errorf("seed %d, phase %d, %v, upstreams %v: tried %v: %v", seed, phase, config, doing, at, err)
						}
					})
				}
				crowd.Wait()
				for range 10 {
					if at, ok := journey(h, http.MethodGet); !ok {
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
