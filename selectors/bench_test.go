package selectors

import (
	"fmt"
	"testing"
)

// BenchmarkPick compares each policy with Caddy's own of the same role, in one
// run:
//
//	go test -run '^$' -bench Pick ./selectors
func BenchmarkPick(b *testing.B) {
	groups := []struct {
		role     string
		policies []object
	}{
		{"in turn", []object{{"policy": "round_robin"}, {"policy": "smooth_weighted_round_robin"}}},
		{"random", []object{{"policy": "random"}, {"policy": "weighted_random"}}},
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
				b.Run(fmt.Sprintf("role=%s/upstreams=%d/policy=%s", g.role, n, policy["policy"]), func(b *testing.B) {
					h := newHandler(b, policy, n)
					selector := h.LoadBalancing.SelectionPolicy
					b.ReportAllocs()
					b.ResetTimer()
					b.RunParallel(func(pb *testing.PB) {
						r := newRequest()
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
