package pool

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
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// town is upstreams with rooms, and a line before all of them.
type town struct {
	line *line
	wg   sync.WaitGroup

	mu     sync.Mutex
	rooms  map[string]int
	served map[groupKey][]int
	all    []int // in the order in which they were served
}

func newTown(length int) *town {
	queue := &Queue{Length: length, Timeout: caddy.Duration(time.Hour)}
	return &town{
		line:  newLine(queue, prometheus.NewGauge(prometheus.GaugeOpts{})),
		rooms: make(map[string]int), served: make(map[groupKey][]int),
	}
}

// come lets somebody of the group wait for a room, who stays for a while.
func (v *town) come(ctx context.Context, who int, key groupKey, stay time.Duration) {
	v.wg.Go(func() {
		u, _ := v.line.wait(ctx, key, func() (*reverseproxy.Upstream, bool) {
			v.mu.Lock()
			defer v.mu.Unlock()
			for address, left := range v.rooms {
				if left > 0 && key.wants(address) {
					v.rooms[address]--
					v.served[key] = append(v.served[key], who)
					v.all = append(v.all, who)
					return &reverseproxy.Upstream{Dial: address}, false
				}
			}
			return nil, true
		})
		if u == nil {
			return
		}
		if stay > 0 {
			time.Sleep(stay)
		}
		v.free(u.Dial)
	})
}

// free makes a room free.
func (v *town) free(address string) {
	v.mu.Lock()
	v.rooms[address]++
	v.mu.Unlock()
	v.line.ended(address)
}

func TestGroupsWaitForWhatTheyWant(t *testing.T) {
	var (
		any      = groupKey{}
		strict   = groupKey{own: "a", strict: true}
		notA     = groupKey{tried: "a\n"}
		notBorC  = groupKey{tried: "b\nc\n"}
		lastOfA  = groupKey{tried: "a\x00\n"}
		andOwnOf = groupKey{own: "d", tried: "a\n"}
	)
	for key, want := range map[groupKey][]string{
		any: {"a", "b", "c", "d"}, strict: {"a"}, notA: {"b", "c", "d"}, notBorC: {"a", "d"},
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
		defer v.line.close()
		ctx, cancel := context.WithCancel(t.Context())
		keys := []groupKey{
			{own: "hung", strict: true}, {own: "a", strict: true}, {}, {tried: "b\n"}, {}, {own: "a", strict: true}, {tried: "hung\n"}, {},
		}
		for who, key := range keys {
			v.come(ctx, who, key, time.Second)
			synctest.Wait()
		}
		if n := len(v.line.groups); n != 5 {
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
		if len(v.line.groups) != 0 || v.line.order.Len() != 0 || v.line.waiting.Load() != 0 {
			t.Errorf("%d groups are left, and %d seem to wait", len(v.line.groups), v.line.waiting.Load())
		}
	})
}

// Many of many groups come, and some leave: all others are served, in order within
// their groups, and nothing is left of the groups.
func TestGroupsUnderContention(t *testing.T) {
	const guests = 3000
	v := newTown(guests)
	defer v.line.close()
	for i := range 4 {
		v.rooms[fmt.Sprint("u", i)] = 2
	}
	for who := range guests {
		key := groupKey{}
		switch who % 7 {
		case 0, 1:
			key = groupKey{own: fmt.Sprint("u", who%4), strict: true}
		case 2:
			key = groupKey{tried: fmt.Sprint("u", who%4, "\n")}
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
	if len(v.line.groups) != 0 || v.line.order.Len() != 0 || v.line.waiting.Load() != 0 {
		t.Errorf("%d groups are left, and %d seem to wait", len(v.line.groups), v.line.waiting.Load())
	}
	for address, left := range v.rooms {
		if left != 2 {
			t.Errorf("%s has %d rooms, want 2", address, left)
		}
	}
}
