package selectors

import (
	"testing"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// A level that is short of healthy upstreams leaves part of the traffic to the next.
func TestTrafficIsSplitBetweenLevels(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := pooltest.NewHandler(t, pooltest.With(config, pooltest.With(pooltest.Checked, pooltest.SecondLevel(5, 10))), 10)
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1), pooltest.Dial(2))
		const n = 2000
		got := pooltest.PicksOfClients(h, n)
		if got[pooltest.None] > 0 || pooltest.Sum(got, 0, 3) > 0 {
			t.Errorf("three are down: %v", got)
		}
		pooltest.ExpectPercent(t, "three of five are down", pooltest.Sum(got, 5, 10), n, 44)
	})
}

// Policies that let a client stay where it is let it stay at its level.
func TestClientStaysAtItsLevel(t *testing.T) {
	for _, name := range []string{"managed ip_hash", "managed cookie", "managed cookie inside header"} {
		t.Run(name, func(t *testing.T) {
			pooltest.Test(t, func(t *testing.T) {
				h := pooltest.NewHandler(t, pooltest.With(policies[name].config, pooltest.With(pooltest.Checked, pooltest.SecondLevel(4, 8))), 8)
				pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1))
				levels := make(map[bool]int)
				for client := range 100 {
					r := pooltest.NewRequestOf(client)
					level := func() bool { return pooltest.Sum(map[string]int{pooltest.Pick(h, h.Upstreams, r): 1}, 4, 8) > 0 }
					at := level()
					levels[at]++
					for range 5 {
						if level() != at {
							t.Fatalf("client %d is sent to and fro", client)
						}
					}
				}
				if levels[false] == 0 || levels[true] == 0 {
					t.Errorf("all are at one level: %v", levels)
				}
			})
		})
	}
}
