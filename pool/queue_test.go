package pool_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// Requests that come faster than they are served are served in the order in which
// they came, as many at once as there is room for.
func TestQueueKeepsItsOrder(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		const requests, limit, takes = 200, 2, 50 * time.Millisecond
		h := pooltest.NewQueued(t, policy, object{"length": requests}, 2, limit)
		var mu sync.Mutex
		var order []int
		crowds := make(map[string]*pooltest.Crowd)
		for i := range 2 {
			c := new(pooltest.Crowd)
			crowds[pooltest.Dial(i)] = c
			pooltest.Script(pooltest.Dial(i), func(r *http.Request) (*http.Response, error) {
				mu.Lock()
				order = append(order, r.Context().Value(number{}).(int))
				mu.Unlock()
				return c.Take(takes)(r)
			})
		}
		began := time.Now()
		var wg sync.WaitGroup
		for i := range requests {
			r := pooltest.NewRequest()
			r = r.WithContext(context.WithValue(r.Context(), number{}, i))
			wg.Go(func() {
				if pooltest.ServeCounted(h, r, httptest.NewRecorder()) == pooltest.None {
					t.Errorf("request %d was refused", i)
				}
			})
			time.Sleep(time.Millisecond)
		}
		wg.Wait()
		if !slices.IsSorted(order) || len(order) != requests {
			t.Errorf("%d were served, in this order: %v", len(order), order)
		}
		for address, c := range crowds {
			if c.Most() != limit {
				t.Errorf("%s had %d at a time", address, c.Most())
			}
		}
		const ideal = requests / (2 * limit) * takes
		if took := time.Since(began); took > ideal*11/10 {
			t.Errorf("it took %v, where %v would do", took, ideal)
		}
	})
}

type number struct{}

// However many ask at once, no more picks are without an attempt than there are
// slots. A slot comes back when its request ends.
func TestPickReservesItsSlot(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h := pooltest.NewQueued(t, policy, object{"length": 100, "timeout": "10s"}, 2, 3)
		pooltest.AddActive(h.Upstreams[0], 1)
		var all []<-chan pooltest.Outcome
		var ends []func() // of requests that were picked for
		var mu sync.Mutex
		for range 40 {
			done := make(chan pooltest.Outcome, 1)
			all = append(all, done)
			go func() {
				r, end := pooltest.WithEnd(pooltest.NewRequest())
				picked := pooltest.Pick(h, h.Upstreams, r)
				mu.Lock()
				ends = append(ends, end)
				mu.Unlock()
				done <- pooltest.Outcome{Picked: picked}
			}()
		}
		got := make(map[string]int)
		collect := func() map[string]int {
			synctest.Wait()
			all = slices.DeleteFunc(all, func(done <-chan pooltest.Outcome) bool {
				select {
				case a := <-done:
					got[a.Picked]++
					return true
				default:
					return false
				}
			})
			return got
		}
		if collect(); got[pooltest.Dial(0)] != 2 || got[pooltest.Dial(1)] != 3 || got[pooltest.None] > 0 {
			t.Errorf("at first: %v", got)
		}
		time.Sleep(5 * time.Second)
		if collect(); len(all) != 35 {
			t.Errorf("while their requests go on: %v", got)
		}
		for _, end := range ends[:5] {
			end()
		}
		time.Sleep(50 * time.Millisecond)
		if collect(); got[pooltest.Dial(0)] != 4 || got[pooltest.Dial(1)] != 6 || got[pooltest.None] > 0 {
			t.Errorf("their requests have ended: %v", got)
		}
		time.Sleep(10 * time.Second)
		collect()
		for _, end := range ends {
			end()
		}
	})
}

// Without a queue as well, no more are picked for than there are slots, and no
// fewer; a slot whose pick no attempt follows comes back.
func TestLimitHoldsWithoutAQueue(t *testing.T) {
	for name, limits := range map[string]object{
		"of one": {"max_requests": object{"10.0.0.0/8": 3}}, "of all": {"default_max_requests": 3}, "Caddy's": {},
	} {
		t.Run(name, func(t *testing.T) {
			forBoth(t, func(t *testing.T, policy object) {
				caddys := object{}
				if len(limits) == 0 {
					caddys["max_requests"] = 3
				}
				h := pooltest.NewScripted(t, pooltest.With(policy, limits), 2, caddys)
				for _, u := range h.Upstreams {
					defer pooltest.SetActive(u, 0)
				}
				pooltest.AddActive(h.Upstreams[0], 1)
				expect := func(when string) (end func()) {
					t.Helper()
					got, end := pooltest.HeldPicks(h, 40)
					if got[pooltest.Dial(0)] != 2 || got[pooltest.Dial(1)] != 3 || got[pooltest.None] != 35 {
						t.Errorf("%s: %v", when, got)
					}
					return end
				}
				end := expect("at first")
				time.Sleep(time.Minute)
				if got := pooltest.PicksOfClients(h, 5); got[pooltest.None] != 5 {
					t.Errorf("while the requests go on: %v", got)
				}
				end()
				expect("the requests have ended")()
			})
		})
	}
}

func TestAttemptTakesTheSlotOfItsPick(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h := pooltest.NewQueued(t, policy, object{"length": 1, "timeout": "1ms"}, 1, 2)
		u := h.Upstreams[0]
		for range 20 { // all within the second that a pick keeps its slot
			r := pooltest.NewRequest()
			if pooltest.Pick(h, h.Upstreams, r) != u.Dial {
				t.Fatal("there should be room")
			}
			pooltest.AddActive(u, 1)
			pooltest.Attempt(h, r, u)
			pooltest.AddActive(u, -1)
		}
	})
}
