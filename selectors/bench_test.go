package selectors

import (
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// BenchmarkPick compares each policy with Caddy's own of the same role, in one
// run:
//
//	go test -run '^$' -bench Pick ./selectors
func BenchmarkPick(b *testing.B) {
	pooltest.FixAddresses(b) // the weights name these networks
	unequal := object{"10.172.0.0/31": 3, "10.172.0.0/18": 2}
	groups := []struct {
		role     string
		policies []object
	}{
		{"in turn", []object{
			{"policy": "round_robin"},
			{"policy": "smooth_weighted_round_robin"},
			{"policy": "smooth_weighted_round_robin", "weights": unequal},
		}},
		{"random", []object{
			{"policy": "random"},
			{"policy": "weighted_random"},
			{"policy": "weighted_random", "weights": unequal},
		}},
		{"least", []object{
			{"policy": "least_conn"},
			{"policy": "random_choose", "choose": 2},
			{"policy": "least_request"},
			{"policy": "peak_ewma"},
		}},
		{"managed", []object{{"policy": "managed", "inner": object{"policy": "round_robin"}}}},
	}
	for _, g := range groups {
		for _, n := range []int{4, 16, 128, 1024, 10_000} {
			for _, policy := range g.policies {
				name := fmt.Sprintf("role=%s/upstreams=%d/policy=%s", g.role, n, policy["policy"])
				if policy["weights"] != nil {
					name += "_unequal"
				}
				b.Run(name, func(b *testing.B) {
					h := pooltest.NewHandler(b, policy, n)
					selector := h.LoadBalancing.SelectionPolicy
					b.ReportAllocs()
					b.ResetTimer()
					b.RunParallel(func(pb *testing.PB) {
						r := pooltest.NewRequest()
						for pb.Next() {
							if selector.Select(h.Upstreams, r, nil) == nil {
								b.Error("no upstream")
							}
						}
					})
				})
			}
		}
	}
}

// BenchmarkPickBesideAQueue shows what a queue of one handler costs another one
// that has none: nothing, but for a look at the response's header once a request
// has been refused.
func BenchmarkPickBesideAQueue(b *testing.B) {
	picks := func(b *testing.B) {
		h := pooltest.NewHandler(b, object{"policy": "weighted_random"}, 16)
		selector := h.LoadBalancing.SelectionPolicy
		b.ReportAllocs()
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			r, w := pooltest.NewRequest(), httptest.NewRecorder()
			for pb.Next() {
				if selector.Select(h.Upstreams, r, w) == nil {
					b.Error("no upstream")
				}
			}
		})
	}
	b.Run("none", picks)
	h := pooltest.NewHandler(b, object{"policy": "weighted_random", "queue": object{"length": 1, "timeout": "1ns"}}, 1)
	b.Run("unused", picks)
	h.Upstreams[0].MaxRequests = 1
	pooltest.SetActive(h.Upstreams[0], 1)
	defer pooltest.SetActive(h.Upstreams[0], 0)
	if h.LoadBalancing.SelectionPolicy.Select(h.Upstreams, pooltest.NewRequest(), httptest.NewRecorder()) != nil {
		b.Fatal("it should have been refused")
	}
	b.Run("has_refused", picks)
}
