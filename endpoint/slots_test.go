package endpoint

import (
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"pgregory.net/rapid"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// idle returns an upstream that has nothing in flight.
func idle() *reverseproxy.Upstream {
	return &reverseproxy.Upstream{Dial: "10.0.0.1:80", Host: new(reverseproxy.Host)}
}

// count sets how many requests Caddy counts for an upstream: the number is the
// first field of its Host.
func count(u *reverseproxy.Upstream, requests int) {
	(*atomic.Int64)(unsafe.Pointer(u.Host)).Store(int64(requests))
}

// ledger is what becomes of each request to an upstream, one by one.
type ledger struct {
	picked  int // that Caddy does not count yet
	counted int // that it counts, without an attempt yet
	others  int // that it counts
}

// Whatever happens between a pick, Caddy's counting of it and its attempt, no slot
// is given beyond the limit. While no other requests end between a pick and its
// attempt, each slot that is free is given, too.
func TestSlotsAgainstALedger(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s Slots
		var l ledger
		u := idle()
		limit := rapid.IntRange(1, 5).Draw(t, "limit")
		exact := rapid.Bool().Draw(t, "nothing ends while there are picks")
		all := func() int { return l.picked + l.counted + l.others }
		caddy := func() { count(u, l.counted+l.others) }
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				if got := s.Taken(u); got != all() && (exact || got < all()) {
					t.Fatalf("%d are taken, want %d: %+v", got, all(), l)
				}
				if free := s.Free(u, limit); free && all() >= limit || exact && free != (all() < limit) {
					t.Fatalf("free: %t, with %+v of %d", free, l, limit)
				}
			},
			"take": func(t *rapid.T) {
				free := all() < limit
				given := s.Take(u, limit)
				if given && !free || exact && given != free {
					t.Fatalf("a slot was given: %t, want %t: %+v", given, free, l)
				}
				if given {
					l.picked++
				}
			},
			"count": func(t *rapid.T) {
				if l.picked == 0 {
					t.Skip("no picks")
				}
				l.picked--
				l.counted++
				caddy()
			},
			"begin": func(t *rapid.T) {
				if l.counted == 0 {
					t.Skip("no picks that are counted")
				}
				s.Begin(true)
				l.counted--
				l.others++
			},
			"give back": func(t *rapid.T) {
				if l.picked == 0 {
					t.Skip("no picks")
				}
				s.GiveBack()
				l.picked--
			},
			"end": func(t *rapid.T) {
				if l.others == 0 || exact && l.picked+l.counted > 0 {
					t.Skip("nothing to end")
				}
				l.others--
				caddy()
			},
			"another handler's": func(t *rapid.T) {
				if l.picked+l.counted > 0 {
					t.Skip("it cannot be told from those picked")
				}
				l.others++
				caddy()
				s.Begin(false)
			},
		})
	})
}

func TestSlotsAreNotGivenTwice(t *testing.T) {
	const limit = 7
	var s Slots
	var given atomic.Int32
	var wg sync.WaitGroup
	u := idle()
	for range 50 {
		wg.Go(func() {
			for range 100 {
				if s.Take(u, limit) {
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

// What has ended is not used again.
func TestEndOfAnEndpoint(t *testing.T) {
	a, b := Acquire("10.0.0.1:80"), Acquire("10.0.0.1:80")
	if a != b {
		t.Fatal("two endpoints of one address")
	}
	Release("10.0.0.1:80")
	if c := Acquire("10.0.0.1:80"); c != a {
		t.Error("another endpoint while one is in use")
	}
	Release("10.0.0.1:80")
	Release("10.0.0.1:80")
	if c := Acquire("10.0.0.1:80"); c == a {
		t.Error("an endpoint that has ended is used again")
	}
	Release("10.0.0.1:80")
}
