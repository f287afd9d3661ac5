package selectors

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// Many pick at once. None of their requests ends, so that what may be in flight
// only grows: who has more than its bound at the end was given one too many.
func TestBoundHoldsAmongMany(t *testing.T) {
	for name, key := range map[string]func(n int) *http.Request{
		"one key":   func(int) *http.Request { return of("everybody") },
		"few keys":  func(n int) *http.Request { return user(n % 3) },
		"many keys": user,
	} {
		t.Run(name, func(t *testing.T) {
			forKeys(t, func(t *testing.T, config object) {
				const n, goroutines, each = 10, 16, 60
				l := loaded(t, config, 125, n)
				var wg sync.WaitGroup
				for g := range goroutines {
					wg.Go(func() {
						for i := range each {
							l.send(t, key(g*each+i))
						}
					})
				}
				wg.Wait()
				for to, has := range l.counts {
					if most := l.most(to, goroutines*each); has > most {
						t.Errorf("%s has %d of %d, want %d at most", to, has, goroutines*each, most)
					}
				}
			})
		})
	}
}

// Requests begin and end at once, and when all have ended nothing is in flight: then
// of ten requests with one key, no two of the first eight meet, as ⌈1.25 × 8/10⌉ is
// one.
func TestNothingIsLeftOfACrowd(t *testing.T) {
	forKeys(t, func(t *testing.T, config object) {
		const n, goroutines, each = 10, 16, 100
		l := loaded(t, config, 125, n)
		var wg sync.WaitGroup
		for g := range goroutines {
			wg.Go(func() {
				random := rand.New(rand.NewPCG(uint64(g), 9))
				for range each {
					r := user(random.IntN(20))
					u := l.h.LoadBalancing.SelectionPolicy.Select(l.h.Upstreams, r, nil)
					if u == nil {
						t.Error("nothing picked")
						return
					}
					pooltest.Attempt(l.h, r, u)
				}
			})
		}
		wg.Wait()
		for i := range 8 {
			if to, has, _ := l.send(t, of("another")); has != 1 {
				t.Errorf("request %d found %s with %d", i, to, has-1)
			}
		}
	})
}

// A policy inside one of ours bounds what it picks, and one around does.
func TestBoundInsideAndAround(t *testing.T) {
	forKeys(t, func(t *testing.T, config object) {
		bounded := pooltest.With(config, object{"balance_factor": 125})
		around := pooltest.With(bounded, object{"key": "{http.request.header.X-None}"})
		around["fallback"] = config
		for name, policy := range map[string]object{
			"inside managed": {"policy": "managed", "inner": bounded},
			"around":         around,
			"inside Caddy's": inHeader(bounded),
		} {
			l := loaded(t, config, 125, 5)
			l.h = pooltest.LoadHandler(t, object{
				"load_balancing": object{"selection_policy": policy},
				"transport":      object{"protocol": "scripted"},
				"upstreams":      pooltest.Dials(5),
			})
			for range 100 {
				to, has, of := l.send(t, of("everybody"))
				if most := l.most(to, of); has > most {
					t.Fatalf("%s: %s has %d of %d, want %d at most", name, to, has, of, most)
				}
			}
		}
	})
}

// A light key that finds room at home stays, whatever heavy keys do: those are
// divided, up to the share of each upstream, or more with a greater factor.
func TestHeavyKeysLeaveRoomForLightOnes(t *testing.T) {
	for _, percent := range []int{125, 200, 400} {
		t.Run(fmt.Sprint(percent), func(t *testing.T) {
			forKeys(t, func(t *testing.T, config object) {
				pooltest.FixAddresses(t)
				const n, inFlight, steps = 10, 100, 4000
				plain := pooltest.NewHandler(t, config, n)
				l := loaded(t, config, percent, n)
				random := rand.New(rand.NewPCG(10, 11))
				light, home, away, heavy, above := 0, 0, 0, 0, 0
				for step := range steps {
					if step >= inFlight {
						l.end(random.IntN(len(l.flying)))
					}
					if step%3 == 0 { // a third of all requests have one key
						to := l.place(t, of("everybody"))
						heavy++
						if l.counts[to] > max(len(l.flying)*percent/125/n, 1) {
							above++
						}
						continue
					}
					who := user(step)
					own := pooltest.Pick(plain, plain.Upstreams, who)
					room := l.counts[own] < l.most(own, len(l.flying)+1)
					to := l.place(t, user(step))
					light++
					if to == own {
						home++
					} else if room {
						away++
					}
				}
				// It takes a while until it is known as heavy, and sometimes the only one with less
				// than its share is not found.
				if above > 10+heavy/20 {
					t.Errorf("the heavy key went above the mean %d of %d times", above, heavy)
				}
				if away > 0 {
					t.Errorf("%d of %d left a home with room", away, light)
				}
				if percent >= 200 && home < light*9/10 {
					t.Errorf("only %d of %d are at home", home, light)
				}
			})
		})
	}
}

// With few in flight a heavy key has one request in each place, and is at home when
// alone.
func TestHeavyKeyWithFewInFlight(t *testing.T) {
	forKeys(t, func(t *testing.T, config object) {
		pooltest.FixAddresses(t)
		l := loaded(t, config, 150, 10)
		home := pooltest.Pick(pooltest.NewHandler(t, config, 10), l.h.Upstreams, of("everybody"))
		for range 200 {
			if to := l.place(t, of("everybody")); to != home {
				t.Fatalf("alone, it met %s, not %s", to, home)
			}
			l.endAll()
		}
		for range 8 {
			if to, has, _ := l.send(t, of("everybody")); has != 1 {
				t.Errorf("%s has %d", to, has)
			}
		}
	})
}

// Where all have their share, a heavy key goes to one that has the least.
func TestHeavyKeyGoesToTheLeastFull(t *testing.T) {
	forKeys(t, func(t *testing.T, config object) {
		pooltest.FixAddresses(t)
		const n = 3
		l := loaded(t, config, 130, n)
		random := rand.New(rand.NewPCG(12, 13))
		for step := range 600 {
			l.place(t, user(step))
			if len(l.flying) > 20 {
				l.end(random.IntN(len(l.flying)))
				l.end(random.IntN(len(l.flying)))
			}
			before := maps.Clone(l.counts)
			to := l.place(t, of("everybody"))
			if step < 50 || before[to] < (len(l.flying))/n {
				continue // it is not known as heavy yet, or has met one with less than its share
			}
			for i := range n {
				if before[pooltest.Dial(i)] < before[to] {
					t.Fatalf("it met %s of %v", to, before)
				}
			}
		}
	})
}
