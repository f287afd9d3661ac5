package pool

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"pgregory.net/rapid"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
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

// ledger is what becomes of each request to an upstream, one by one.
type ledger struct {
	picked  []int64 // instants of picks that Caddy does not count yet
	counted []int64 // of those that it counts, without an attempt yet
	others  int     // that it counts
}

// lapse drops the picks that are too old; those that are counted are others then.
func (l *ledger) lapse(now int64) {
	old := func(at int64) bool { return now-at >= lapse }
	l.picked = slices.DeleteFunc(l.picked, old)
	before := len(l.counted)
	l.counted = slices.DeleteFunc(l.counted, old)
	l.others += before - len(l.counted)
}

// Whatever happens between a pick, Caddy's counting of it and its attempt, no slot
// is given beyond the limit. While no other requests end between a pick and its
// attempt, and no pick lapses, each slot that is free is given, too.
func TestSlotsAgainstALedger(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s slots
		var l ledger
		u, now := idle(), at(0)
		limit := rapid.IntRange(1, 5).Draw(t, "limit")
		exact := rapid.Bool().Draw(t, "nothing ends while there are picks")
		all := func() int { return len(l.picked) + len(l.counted) + l.others }
		caddy := func() { busy(u, len(l.counted)+l.others) }
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				if got := s.taken(now, u); got != all() && (exact || got < all()) {
					t.Fatalf("%d are taken, want %d: %+v", got, all(), l)
				}
			},
			"wait": func(t *rapid.T) {
				if exact && len(l.picked)+len(l.counted) > 0 {
					t.Skip("they might lapse")
				}
				now += rapid.SampledFrom([]int64{1, lapse / 2, lapse - 1, lapse}).Draw(t, "step")
				l.lapse(now)
				caddy()
			},
			"reserve": func(t *rapid.T) {
				free := all() < limit
				given := s.reserve(now, u, limit)
				if given && !free || exact && given != free {
					t.Fatalf("a slot was given: %t, want %t: %+v", given, free, l)
				}
				if given {
					l.picked = append(l.picked, now)
				}
			},
			"count": func(t *rapid.T) {
				if len(l.picked) == 0 {
					t.Skip("no picks")
				}
				l.counted, l.picked = append(l.counted, l.picked[0]), l.picked[1:]
				caddy()
			},
			"fill": func(t *rapid.T) {
				// Which pick it is does not matter to the slots: take the oldest.
				if len(l.counted) == 0 || len(l.picked) > 0 && l.picked[0] < l.counted[0] {
					t.Skip("no picks that are counted")
				}
				s.fill(now, true)
				l.counted, l.others = l.counted[1:], l.others+1
			},
			"end": func(t *rapid.T) {
				if l.others == 0 || exact && len(l.picked)+len(l.counted) > 0 {
					t.Skip("nothing to end")
				}
				l.others--
				caddy()
			},
			"another handler's": func(t *rapid.T) {
				if len(l.picked)+len(l.counted) > 0 {
					t.Skip("it cannot be told from those picked")
				}
				l.others++
				caddy()
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
	s.fill(at(1500), true) // the first one's slot has lapsed, the attempt is the second one's
	if n := s.taken(at(1500), u); n != 0 {
		t.Errorf("%d taken, although there is no pick without an attempt", n)
	}
}

func TestSlotsAreNotGivenTwice(t *testing.T) {
	const limit = 7
	var s slots
	var given atomic.Int32
	var wg sync.WaitGroup
	u, now := idle(), instant.Now()
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
