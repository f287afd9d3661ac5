package queue

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddyserver/caddy/v2"
)

// town is upstreams with rooms, and a queue before all of them.
type town struct {
	queue *Queue
	wg    sync.WaitGroup

	mu     sync.Mutex
	rooms  map[string]int
	served map[Key][]int
	all    []int // in the order in which they were served
}

func newTown(length int) *town {
	options := &Options{Length: length, Timeout: caddy.Duration(time.Hour)}
	return &town{
		queue: New(options, prometheus.NewGauge(prometheus.GaugeOpts{})),
		rooms: make(map[string]int), served: make(map[Key][]int),
	}
}

// come lets somebody of the group wait for a room, who stays for a while.
func (v *town) come(ctx context.Context, who int, key Key, stay time.Duration) {
	v.wg.Go(func() {
		taken := ""
		v.queue.Wait(ctx, key, func() Look {
			v.mu.Lock()
			defer v.mu.Unlock()
			for address, left := range v.rooms {
				if left > 0 && key.wants(address) {
					v.rooms[address]--
					v.served[key] = append(v.served[key], who)
					v.all = append(v.all, who)
					taken = address
					return Look{Address: address}
				}
			}
			return Look{Full: true}
		})
		if taken == "" {
			return
		}
		if stay > 0 {
			time.Sleep(stay)
		}
		v.free(taken)
	})
}

// free makes a room free.
func (v *town) free(address string) {
	v.mu.Lock()
	v.rooms[address]++
	v.mu.Unlock()
	v.queue.Freed(address)
}

func TestGroupsWaitForWhatTheyWant(t *testing.T) {
	var (
		anyone   = Key{}
		strict   = Key{Own: "a", OwnOnly: true}
		notA     = Key{Tried: "a\n"}
		notBorC  = Key{Tried: "b\nc\n"}
		lastOfA  = Key{Tried: "a\x00\n"}
		andOwnOf = Key{Own: "d", Tried: "a\n"}
	)
	for key, want := range map[Key][]string{
		anyone: {"a", "b", "c", "d"}, strict: {"a"}, notA: {"b", "c", "d"}, notBorC: {"a", "d"},
		lastOfA: {"a", "b", "c", "d"}, andOwnOf: {"b", "c", "d"},
	} {
		var got []string
		for _, address := range []string{"a", "b", "c", "d"} {
			if key.wants(address) {
				got = append(got, address)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%+v wants %v, should want %v", key, got, want)
		}
	}
}

// Of all that wait for the same room the one that has come first gets it, whichever
// its group, and nobody waits for those who wait for something else.
func TestRoomGoesToWhoHasWaitedLongest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newTown(100)
		defer v.queue.Close()
		ctx, cancel := context.WithCancel(t.Context())
		keys := []Key{
			{Own: "hung", OwnOnly: true}, {Own: "a", OwnOnly: true}, {}, {Tried: "b\n"}, {}, {Own: "a", OwnOnly: true}, {Tried: "hung\n"}, {},
		}
		for who, key := range keys {
			v.come(ctx, who, key, time.Second)
			synctest.Wait()
		}
		if n := len(v.queue.groups); n != 5 {
			t.Errorf("%d groups, want 5", n)
		}
		v.free("a")
		time.Sleep(time.Minute)
		synctest.Wait()
		if want := []int{1, 2, 3, 4, 5, 6, 7}; !slices.Equal(v.all, want) {
			t.Errorf("served in this order: %v, want %v", v.all, want)
		}
		cancel()
		v.wg.Wait()
		if len(v.queue.groups) != 0 || v.queue.order.Len() != 0 || v.queue.waiting.Load() != 0 {
			t.Errorf("%d groups are left, and %d seem to wait", len(v.queue.groups), v.queue.waiting.Load())
		}
	})
}

// Many of many groups come, and some leave: all others are served, in order within
// their groups, and nothing is left of the groups.
func TestGroupsUnderContention(t *testing.T) {
	const guests = 3000
	v := newTown(guests)
	defer v.queue.Close()
	for i := range 4 {
		v.rooms[fmt.Sprint("u", i)] = 2
	}
	for who := range guests {
		key := Key{}
		switch who % 7 {
		case 0, 1:
			key = Key{Own: fmt.Sprint("u", who%4), OwnOnly: true}
		case 2:
			key = Key{Tried: fmt.Sprint("u", who%4, "\n")}
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if who%11 == 0 {
			cancel()
		}
		v.come(ctx, who, key, 0)
	}
	v.wg.Wait()
	if len(v.all) < guests*10/11 {
		t.Errorf("only %d were served", len(v.all))
	}
	if len(v.queue.groups) != 0 || v.queue.order.Len() != 0 || v.queue.waiting.Load() != 0 {
		t.Errorf("%d groups are left, and %d seem to wait", len(v.queue.groups), v.queue.waiting.Load())
	}
	for address, left := range v.rooms {
		if left != 2 {
			t.Errorf("%s has %d rooms, want 2", address, left)
		}
	}
}
