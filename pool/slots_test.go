package pool

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// idle returns an upstream that has nothing in flight.
func idle() *reverseproxy.Upstream {
	return &reverseproxy.Upstream{Dial: "10.0.0.1:80", Host: new(reverseproxy.Host)}
}

// busy sets how many requests Caddy has in flight to an upstream: the number is
// the first field of its Host.
func busy(u *reverseproxy.Upstream, requests int) {
	(*atomic.Int64)(unsafe.Pointer(u.Host)).Store(int64(requests))
}

// A naive list of the picks says how many slots are taken.
func TestSlotsAgainstAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s slots
		var picks []int64
		u, now := idle(), at(0)
		limit := rapid.IntRange(1, 5).Draw(t, "limit")
		inFlight := rapid.IntRange(0, 3).Draw(t, "in flight")
		busy(u, inFlight)
		valid := func() (n int) {
			for _, p := range picks {
				if now-p < lapse {
					n++
				}
			}
			return n
		}
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				if got := s.reserved(now); got != valid() {
					t.Fatalf("%d are reserved, want %d", got, valid())
				}
			},
			"wait": func(t *rapid.T) {
				now += rapid.SampledFrom([]int64{1, lapse / 2, lapse - 1, lapse}).Draw(t, "step")
			},
			"reserve": func(t *rapid.T) {
				free := valid()+inFlight < limit
				if got := s.reserve(now, u, limit); got != free {
					t.Fatalf("a slot was given: %t, want %t", got, free)
				}
				if free {
					picks = append(picks, now)
				}
			},
			"fill": func(*rapid.T) {
				s.fill(now)
				for i, p := range picks {
					if now-p < lapse {
						picks = append(picks[:i], picks[i+1:]...)
						break
					}
				}
			},
		})
	})
}

// An attempt frees the slot of a pick that still holds one, not that of a pick
// whose slot has lapsed.
func TestAttemptFillsASlotThatHasNotLapsed(t *testing.T) {
	var s slots
	u := idle()
	s.reserve(at(0), u, 2)
	s.reserve(at(900), u, 2)
	s.fill(at(1500)) // the first one's slot has lapsed, the attempt is the second one's
	if n := s.reserved(at(1500)); n != 0 {
		t.Errorf("%d reserved, although there is no pick without an attempt", n)
	}
}

func TestSlotsAreNotGivenTwice(t *testing.T) {
	const limit = 7
	var s slots
	var given atomic.Int32
	var wg sync.WaitGroup
	u, now := idle(), instant(time.Now())
	for range 50 {
		wg.Go(func() {
			for range 100 {
				if s.reserve(now, u, limit) {
					given.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if given.Load() != limit {
		t.Errorf("%d slots of %d were given", given.Load(), limit)
	}
}
