package selectors

import (
	"math"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// sampled are the policies that compare candidates drawn at random.
var sampled = map[string]object{
	"least_request":          {"policy": "least_request"},
	"least_request of one":   {"policy": "least_request", "choices": 1},
	"least_request of three": {"policy": "least_request", "choices": 3},
	"least_request all":      {"policy": "least_request", "all": true},
	"least_request bias 2":   {"policy": "least_request", "bias": 2},
	"peak_ewma":              {"policy": "peak_ewma"},
	"peak_ewma of two":       {"policy": "peak_ewma", "choices": 2},
	"managed peak_ewma":      {"policy": "managed", "inner": object{"policy": "peak_ewma"}},
}

// takeAbout is to answer 200 after a time that differs by up to a tenth.
func takeAbout(d time.Duration) pooltest.Act {
	return func(r *http.Request) (*http.Response, error) {
		time.Sleep(time.Duration(float64(d) * (0.9 + 0.2*rand.Float64())))
		return pooltest.Answer(http.StatusOK)(r)
	}
}

// expectShares has n requests served, one after another, and compares the shares.
func expectShares(t *testing.T, config object, n int, weights ...int) {
	t.Helper()
	options, total := object{}, 0
	for i, w := range weights {
		options[pooltest.Dial(i)] = w
		total += w
	}
	if config["policy"] != "managed" {
		config = pooltest.With(config, object{"weights": options})
	}
	h := pooltest.NewScripted(t, config, len(weights))
	for i := range weights {
		pooltest.Script(pooltest.Dial(i), takeAbout(5*time.Millisecond+time.Duration(i%2)*10*time.Microsecond)) // half of them slower by a hair
	}
	got := make(map[string]int)
	for range n {
		got[pooltest.Serve(h, pooltest.NewRequest())]++
		time.Sleep(10 * time.Millisecond)
	}
	t.Logf("of %d requests, for weights %v: %v", n, weights, got)
	for i, w := range weights {
		want := float64(n) * float64(w) / float64(total)
		if math.Abs(float64(got[pooltest.Dial(i)])-want) > 6*math.Sqrt(want) {
			t.Errorf("weight %d got %d of %d, want about %.0f: %v", w, got[pooltest.Dial(i)], n, want, got)
		}
	}
}

// While requests do not overlap, all upstreams are equally free.
func TestSharesFollowTheWeightsWhereAllAreIdle(t *testing.T) {
	for name, config := range sampled {
		t.Run(name, func(t *testing.T) {
			pooltest.Test(t, func(t *testing.T) { expectShares(t, config, 6000, 1, 1, 1) })
			if config["policy"] == "managed" {
				return // heeds no weights
			}
			pooltest.Test(t, func(t *testing.T) { expectShares(t, config, 6000, 1, 2) })
			pooltest.Test(t, func(t *testing.T) { expectShares(t, config, 6000, 5, 1, 3, 1, 2, 8, 1, 1, 1, 1) })
		})
	}
}
