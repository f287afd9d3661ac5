package selectors

import (
	"math"
	"testing"
	"time"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// forWeighted runs a test for all policies that pick by weight, each in a bubble of
// its own.
func forWeighted(t *testing.T, test func(t *testing.T, config object)) {
	for name, policy := range policies {
		if policy.weighted {
			t.Run(name, func(t *testing.T) {
				pooltest.Test(t, func(t *testing.T) { test(t, policy.config) })
			})
		}
	}
}

func TestReturningUpstreamGetsItsShareAgain(t *testing.T) {
	for name, policy := range policies {
		if !policy.even {
			continue
		}
		t.Run(name, func(t *testing.T) {
			pooltest.Test(t, func(t *testing.T) {
				h := pooltest.NewHandler(t, pooltest.With(policy.config, pooltest.Checked), 4)
				pooltest.SetDown(pooltest.Dial(1))
				pooltest.SetDown()
				got := pooltest.Picks(h, h.Upstreams, 4000)
				for i := range 4 {
					if n := got[pooltest.Dial(i)]; n < 800 || n > 1200 {
						t.Errorf("%s got %d of 4000: %v", pooltest.Dial(i), n, got)
					}
				}
			})
		})
	}
}

func TestWeightedShares(t *testing.T) {
	for name, policy := range policies {
		if !policy.weighted {
			continue
		}
		t.Run(name, func(t *testing.T) {
			pooltest.Test(t, func(t *testing.T) {
				h := pooltest.NewHandler(t, pooltest.With(policy.config, pooltest.With(pooltest.Checked, object{
					"weights": object{pooltest.Dial(0): 5, pooltest.Host(2): 3, pooltest.Host(3) + "/32": 0},
				})), 5)
				expect := func(n int, weights map[string]int) {
					t.Helper()
					total := 0
					for _, w := range weights {
						total += w
					}
					got := pooltest.Picks(h, h.Upstreams, n)
					for address, w := range weights {
						want := float64(n) * float64(w) / float64(total)
						if math.Abs(float64(got[address])-want) > 5*math.Sqrt(want)+1 {
							t.Errorf("%s got %d, want about %.0f: %v", address, got[address], want, got)
						}
					}
				}
				expect(10_000, map[string]int{pooltest.Dial(0): 5, pooltest.Dial(1): 1, pooltest.Dial(2): 3, pooltest.Dial(3): 0, pooltest.Dial(4): 1})
				pooltest.SetDown(pooltest.Dial(0)) // the rest share in proportion, Caddy's own does not
				expect(10_000, map[string]int{pooltest.Dial(0): 0, pooltest.Dial(1): 1, pooltest.Dial(2): 3, pooltest.Dial(3): 0, pooltest.Dial(4): 1})
			})
		})
	}
}

// One that starts slowly gets the share of the weight that it has at the moment, be it
// static or dynamic.
func TestSharesFollowASlowStart(t *testing.T) {
	const window = 100 * time.Second
	slowly := object{"slow_start": object{"window": window.String()}}
	forWeighted(t, func(t *testing.T, config object) {
		config = pooltest.With(config, slowly)
		pooltest.NewHandler(t, config, 3)
		time.Sleep(time.Hour)
		h := pooltest.NewHandler(t, config, 4)
		pooltest.ExpectShare(t, "joined", h, h.Upstreams, pooltest.Dial(3), 0.1)
		time.Sleep(window / 2)
		pooltest.ExpectShare(t, "after half of the window", h, h.Upstreams, pooltest.Dial(3), 0.5)
		time.Sleep(window)
		pooltest.ExpectShare(t, "after the window", h, h.Upstreams, pooltest.Dial(3), 1)
	})
	forWeighted(t, func(t *testing.T, config object) {
		h := pooltest.NewHandler(t, pooltest.With(config, slowly), 0)
		pooltest.Pick(h, pooltest.Upstreams(0, 1, 2), pooltest.NewRequest())
		time.Sleep(time.Minute)
		more := pooltest.Upstreams(0, 1, 2, 3)
		pooltest.Pick(h, more, pooltest.NewRequest())
		time.Sleep(window / 2)
		pooltest.ExpectShare(t, "a dynamic one after half of the window", h, more, pooltest.Dial(3), 0.5)
	})
}
