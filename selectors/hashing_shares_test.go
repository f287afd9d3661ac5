//go:build !race

// Statistics take many picks, in which there is nothing to race.

package selectors

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// forSizes runs a test for all policies that pick by a key and numbers of
// upstreams.
func forSizes(t *testing.T, test func(t *testing.T, config object, n int)) {
	for _, config := range byUser {
		for _, n := range []int{10, 100, 1000} {
			t.Run(fmt.Sprint(config["policy"], "/", n), func(t *testing.T) {
				pooltest.FixAddresses(t)
				test(t, config, n)
			})
		}
	}
}

// Of as many keys, chance gives the fullest of n up to four standard deviations
// more than the mean. On a ring the shares themselves differ, by 1/√160.
func TestKeysAreSharedEvenly(t *testing.T) {
	if raceDetector {
		t.Skip("one goroutine counts keys: nothing can race, and it takes ten times as long")
	}
	forSizes(t, func(t *testing.T, config object, n int) {
		const users = 200_000
		got := countByHome(homes(pooltest.NewHandler(t, config, n), users))
		mean := float64(users) / float64(n)
		most := 1 + 4/math.Sqrt(mean)
		if config["policy"] == "ring_hash" {
			most += 4 / math.Sqrt(160)
		}
		peak := float64(slices.Max(slices.Collect(maps.Values(got)))) / mean
		t.Logf("max/mean %.3f", peak)
		if peak > most || len(got) != n {
			t.Errorf("%d have keys, and the fullest has %.3f of the mean, want %.3f at most", len(got), peak, most)
		}
	})
}

// without returns a handler without the i-th of n upstreams.
func without(t *testing.T, config object, n, i int) *reverseproxy.Handler {
	return pooltest.LoadHandler(t, object{
		"load_balancing": object{"selection_policy": config},
		"upstreams":      slices.Delete(pooltest.Dials(n), i, i+1),
	})
}

func TestRemovedUpstreamMovesOnlyItsKeys(t *testing.T) {
	if raceDetector {
		t.Skip("one goroutine counts keys: nothing can race, and it takes ten times as long")
	}
	forSizes(t, func(t *testing.T, config object, n int) {
		const users = 50_000
		before := homes(pooltest.NewHandler(t, config, n), users)
		for _, gone := range []int{0, n / 2, n - 1} {
			moved, own, got := 0, 0, make(map[string]int)
			for user, home := range homes(without(t, config, n, gone), users) {
				switch {
				case before[user] == pooltest.Dial(gone):
					own++
					got[home]++
				case home != before[user]:
					moved++
				}
			}
			t.Logf("%d of its own and %d others", own, moved)
			if own == 0 || len(got) < min(n-1, own)/2 {
				t.Errorf("%d keys went to %d others", own, len(got))
			}
			if config["policy"] == "maglev" {
				moved -= users / 100
			}
			if moved > 0 {
				t.Errorf("%d keys too many moved", moved)
			}
		}
	})
}

// On a ring each upstream's share is by chance, the less the more points: 160 for
// each unit of weight.
func TestKeysAreSharedByWeight(t *testing.T) {
	if raceDetector {
		t.Skip("one goroutine counts keys: nothing can race, and it takes ten times as long")
	}
	for _, config := range byUser {
		t.Run(config["policy"].(string), func(t *testing.T) {
			pooltest.FixAddresses(t)
			const users, n = 1_000_000, 10
			weights := object{}
			for i := range n {
				weights[pooltest.Dial(i)] = i + 1
			}
			got := countByHome(homes(pooltest.NewHandler(t, pooltest.With(config, object{"weights": weights}), n), users))
			for i := range n {
				off := 0.03
				if config["policy"] == "ring_hash" {
					off = 3 / math.Sqrt(160*float64(i+1))
				}
				due := users * float64(i+1) / 55
				is := float64(got[pooltest.Dial(i)])/due - 1
				t.Logf("weight %d: %+.2f %%", i+1, 100*is)
				if math.Abs(is) > off {
					t.Errorf("weight %d has %d keys, want %.0f", i+1, got[pooltest.Dial(i)], due)
				}
			}
		})
	}
}

// Weights hold between those that are left, too: what one loses goes to the others
// by their weights.
func TestOrphansAreSharedByWeight(t *testing.T) {
	if raceDetector {
		t.Skip("one goroutine counts keys: nothing can race, and it takes ten times as long")
	}
	forKeys(t, func(t *testing.T, config object) {
		pooltest.FixAddresses(t)
		const users = 100_000
		h := pooltest.NewHandler(t, pooltest.With(config, object{"weights": object{pooltest.Dial(1): 3, pooltest.Dial(2): 6}}), 4)
		before := homes(h, users)
		h.Upstreams[3].MaxRequests = 1
		pooltest.SetActive(h.Upstreams[3], 1)
		defer pooltest.SetActive(h.Upstreams[3], 0)
		got, orphans := make(map[string]int), 0
		for user, home := range homes(h, users) {
			if before[user] == pooltest.Dial(3) {
				got[home]++
				orphans++
			}
		}
		for i, weight := range []int{1, 3, 6} {
			want := float64(orphans*weight) / 10
			off := 5 * math.Sqrt(want)
			if config["policy"] == "ring_hash" {
				off += 4 * want / math.Sqrt(160*float64(weight))
			}
			if math.Abs(float64(got[pooltest.Dial(i)])-want) > off {
				t.Errorf("weight %d got %d of %d, want %.0f", weight, got[pooltest.Dial(i)], orphans, want)
			}
		}
	})
}
