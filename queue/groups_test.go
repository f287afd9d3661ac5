package queue

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// groupTest is upstreams with room for some requests, and a queue before them.
type groupTest struct {
	queue *Queue
	wg    sync.WaitGroup

	mu     sync.Mutex
	rooms  map[string]int
	served map[Key][]int
	all    []int // in the order in which they were served
}

func newGroupTest(length int) *groupTest {
	options := &Options{Length: length, Timeout: caddy.Duration(time.Hour)}
	return &groupTest{
		queue: New(options, nil),
		rooms: make(map[string]int), served: make(map[Key][]int),
	}
}

// come lets a request of the group wait for room, and stay for a while.
func (g *groupTest) come(ctx context.Context, number int, key Key, stay time.Duration) {
	g.wg.Go(func() {
		taken := ""
		g.queue.Wait(ctx, key, Look{Wait: AllFull}, func(bool) Look {
			g.mu.Lock()
			defer g.mu.Unlock()
			for address, left := range g.rooms {
				if left > 0 && key.wants(address) {
					g.rooms[address]--
					g.served[key] = append(g.served[key], number)
					g.all = append(g.all, number)
					taken = address
					return Look{Address: address}
				}
			}
			return Look{Wait: AllFull}
		})
		if taken == "" {
			return
		}
		if stay > 0 {
			time.Sleep(stay)
		}
		g.free(taken)
	})
}

// free makes a room free.
func (g *groupTest) free(address string) {
	g.mu.Lock()
	g.rooms[address]++
	g.mu.Unlock()
	g.queue.Freed(address)
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
// its group, and no request waits for those of other groups.
func TestRoomGoesToWhoHasWaitedLongest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroupTest(100)
		ctx, cancel := context.WithCancel(t.Context())
		keys := []Key{
			{Own: "hung", OwnOnly: true}, {Own: "a", OwnOnly: true}, {}, {Tried: "b\n"}, {}, {Own: "a", OwnOnly: true}, {Tried: "hung\n"}, {},
		}
		for number, key := range keys {
			g.come(ctx, number, key, time.Second)
			synctest.Wait()
		}
		if n := len(g.queue.groups); n != 5 {
			t.Errorf("%d groups, want 5", n)
		}
		g.free("a")
		time.Sleep(time.Minute)
		synctest.Wait()
		if want := []int{1, 2, 3, 4, 5, 6, 7}; !slices.Equal(g.all, want) {
			t.Errorf("served in this order: %v, want %v", g.all, want)
		}
		cancel()
		g.wg.Wait()
		if len(g.queue.groups) != 0 || g.queue.order.Len() != 0 || g.queue.waiting.Load() != 0 {
			t.Errorf("%d groups are left, and %d seem to wait", len(g.queue.groups), g.queue.waiting.Load())
		}
	})
}

// Many of many groups come, and some leave: all others are served, in order within
// their groups, and nothing is left of the groups.
func TestGroupsUnderContention(t *testing.T) {
	const guests = 3000
	g := newGroupTest(guests)
	for i := range 4 {
		g.rooms[fmt.Sprint("u", i)] = 2
	}
	for number := range guests {
		key := Key{}
		switch number % 7 {
		case 0, 1:
			key = Key{Own: fmt.Sprint("u", number%4), OwnOnly: true}
		case 2:
			key = Key{Tried: fmt.Sprint("u", number%4, "\n")}
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if number%11 == 0 {
			cancel()
		}
		g.come(ctx, number, key, 0)
	}
	g.wg.Wait()
	if len(g.all) < guests*10/11 {
		t.Errorf("only %d were served", len(g.all))
	}
	if len(g.queue.groups) != 0 || g.queue.order.Len() != 0 || g.queue.waiting.Load() != 0 {
		t.Errorf("%d groups are left, and %d seem to wait", len(g.queue.groups), g.queue.waiting.Load())
	}
	for address, left := range g.rooms {
		if left != 2 {
			t.Errorf("%s has %d rooms, want 2", address, left)
		}
	}
}
