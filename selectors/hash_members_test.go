package selectors

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// at returns a handler with upstreams at the given addresses.
func at(t *testing.T, config object, addresses ...string) *reverseproxy.Handler {
	t.Helper()
	upstreams := make([]object, len(addresses))
	for i, a := range addresses {
		upstreams[i] = object{"dial": a}
	}
	return pooltest.LoadHandler(t, object{"load_balancing": object{"selection_policy": config}, "upstreams": upstreams})
}

// placesOf returns the number of the upstream that each user meets.
func placesOf(h *reverseproxy.Handler, users int) []int {
	all := make([]int, users)
	for n, home := range homes(h, users) {
		all[n] = slices.IndexFunc(h.Upstreams, func(u *reverseproxy.Upstream) bool { return u.Dial == home })
	}
	return all
}

// By host, an upstream keeps its keys when it comes back at another port; by
// address it does not.
func TestHashByHostOutlivesAPort(t *testing.T) {
	ports := func(each ...string) (addresses []string) {
		for i, port := range each {
			addresses = append(addresses, pooltest.Host(i)+":"+port)
		}
		return addresses
	}
	const users = 1000
	for _, by := range []string{"host", "address", ""} {
		t.Run(by, func(t *testing.T) {
			forKeys(t, func(t *testing.T, config object) {
				config = pooltest.With(config, object{"hash_by": by})
				before := placesOf(at(t, config, ports("80", "80", "80", "80")...), users)
				after := placesOf(at(t, config, ports("80", "3000", "80", "3001")...), users)
				if same := slices.Equal(before, after); same != (by == "host") {
					t.Errorf("keys stay: %t", same)
				}
			})
		})
	}
}

// Several upstreams of one host have ids of their own, which new ports keep if
// they are in the same order: the second is the second.
func TestHashByHostWithSeveralPorts(t *testing.T) {
	const users = 2000
	forKeys(t, func(t *testing.T, config object) {
		config = pooltest.With(config, object{"hash_by": "host"})
		before := placesOf(at(t, config, pooltest.Host(0)+":8", pooltest.Host(0)+":9", pooltest.Host(1)+":80"), users)
		for i := range 3 {
			n := 0
			for _, place := range before {
				if place == i {
					n++
				}
			}
			if n < users/5 {
				t.Errorf("upstream %d has %d of %d keys", i, n, users)
			}
		}
		// As numbers and not as text: 1000 comes after 999.
		after := placesOf(at(t, config, pooltest.Host(0)+":999", pooltest.Host(0)+":1000", pooltest.Host(1)+":8080"), users)
		if !slices.Equal(before, after) {
			t.Error("the order of ports is the same, the keys are not")
		}
	})
}

// What has no port has no host either: sockets, each of which counts.
func TestHashByHostOfSockets(t *testing.T) {
	forKeys(t, func(t *testing.T, config object) {
		h := at(t, pooltest.With(config, object{"hash_by": "host"}), "unix//run/a.sock", "unix//run/b.sock", "[::1]:80", "[::1]:81")
		if got := countByHome(homes(h, 1000)); len(got) != 4 || got[pooltest.None] > 0 {
			t.Errorf("met %v", got)
		}
	})
}

// Several proxies agree, in whatever order they list the upstreams; so do static
// and dynamic ones.
func TestOrderOfUpstreamsDoesNotMatter(t *testing.T) {
	const users, n = 2000, 20
	forKeys(t, func(t *testing.T, config object) {
		config = pooltest.With(config, object{"weights": object{pooltest.Dial(3): 4, pooltest.Dial(7): 0}})
		var addresses []string
		var numbers []int
		for i := range n {
			addresses = append(addresses, pooltest.Dial(i))
			numbers = append(numbers, i)
		}
		before := homes(at(t, config, addresses...), users)
		rand.New(rand.NewPCG(3, 4)).Shuffle(n, func(i, j int) { addresses[i], addresses[j] = addresses[j], addresses[i] })
		if !slices.Equal(before, homes(at(t, config, addresses...), users)) {
			t.Error("another order has given keys to others")
		}
		h := pooltest.LoadHandler(t, object{"load_balancing": object{"selection_policy": config}, "dynamic_upstreams": object{"source": "a", "name": "localhost"}})
		for user := range users {
			if user%100 == 0 {
				slices.Reverse(numbers)
			}
			if got := pooltest.Pick(h, pooltest.Upstreams(numbers...), of(fmt.Sprint("user", user))); got != before[user] {
				t.Fatalf("user %d met %s, not %s", user, got, before[user])
			}
		}
	})
}

// The same upstream twice has twice the keys, and the rest what is left.
func TestUpstreamTwice(t *testing.T) {
	const users = 30_000
	for _, by := range []string{"address", "host"} {
		t.Run(by, func(t *testing.T) {
			forKeys(t, func(t *testing.T, config object) {
				h := at(t, pooltest.With(config, object{"hash_by": by}), pooltest.Dial(0), pooltest.Dial(1), pooltest.Dial(0))
				got := countByHome(homes(h, users))
				want := users * 2 / 3
				if off := got[pooltest.Dial(0)] - want; off < -users/6 || off > users/6 || len(got) != 2 {
					t.Errorf("met %v", got)
				}
			})
		})
	}
}

// Where traffic spills over to another level, the same keys do.
func TestKeysKeepTheirLevel(t *testing.T) {
	const users = 4000
	forKeys(t, func(t *testing.T, config object) {
		h := pooltest.NewHandler(t, pooltest.With(config, pooltest.With(pooltest.Checked, pooltest.SecondLevel(5, 10))), 10)
		all := homes(h, users)
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1), pooltest.Dial(2)) // two of five, at 1.4: 56 % stay
		before := homes(h, users)
		for range 2 {
			for user, home := range homes(h, users) {
				if home != before[user] {
					t.Fatalf("user %d met %s, then %s", user, before[user], home)
				}
			}
		}
		got, moved := countByHome(before), 0
		pooltest.ExpectPercent(t, "spilled", pooltest.Sum(got, 5, 10), users, 44)
		for user, home := range before {
			if up := all[user] == pooltest.Dial(3) || all[user] == pooltest.Dial(4); up && home != all[user] && (home == pooltest.Dial(3) || home == pooltest.Dial(4)) {
				moved++
			}
		}
		if moved > 0 {
			t.Errorf("%d keys moved between those that are up", moved)
		}
		pooltest.SetDown()
		if !slices.Equal(all, homes(h, users)) {
			t.Error("not all keys have come back")
		}
	})
}

// A request by another method finds the same home.
func TestHomeIsTheSameForAllMethods(t *testing.T) {
	forKeys(t, func(t *testing.T, config object) {
		h := pooltest.NewHandler(t, config, 10)
		for n := range 50 {
			r := user(n)
			r.Method = http.MethodPost
			if got, want := pooltest.Pick(h, h.Upstreams, r), pooltest.Pick(h, h.Upstreams, user(n)); got != want {
				t.Errorf("met %s, not %s", got, want)
			}
		}
	})
}

// One that starts slowly takes its own keys back, more and more of them; the others'
// keys do not move, nor do any that it has taken.
func TestSlowStartTakesKeysBack(t *testing.T) {
	const users = 5000
	forKeys(t, func(t *testing.T, config object) {
		h := pooltest.NewHandler(t, pooltest.With(config, pooltest.With(pooltest.Checked, object{"slow_start": object{"window": "1000s"}})), 5)
		all := homes(h, users)
		own := countByHome(all)[pooltest.Dial(2)]
		pooltest.SetDown(pooltest.Dial(2))
		pooltest.SetDown()
		back := make([]bool, users)
		last := 0
		for _, percent := range []int{10, 50, 75, 100} {
			n := 0
			for user, home := range homes(h, users) {
				switch {
				case home == pooltest.Dial(2):
					back[user] = true
					n++
				case back[user]:
					t.Fatalf("user %d has left again, for %s", user, home)
				case all[user] != pooltest.Dial(2) && home != all[user]:
					t.Fatalf("user %d moved from %s to %s", user, all[user], home)
				}
			}
			share := float64(percent) / 100 // what it has of the weights of all five
			pooltest.ExpectPercent(t, "back", n, own, 100*share*5/(4+share))
			if n <= last {
				t.Errorf("%d keys are back, after %d", n, last)
			}
			last = n
			time.Sleep(time.Duration(map[int]int{10: 490, 50: 250, 75: 300}[percent]) * time.Second)
			synctest.Wait()
		}
	})
}
