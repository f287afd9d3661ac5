package balance

import (
	"fmt"
	"math"
	"strconv"
	"sync"
	"testing"

	"github.com/cespare/xxhash/v2"
	"pgregory.net/rapid"
)

// table is what all of hashing's tables are.
type table interface{ At(key uint64) int }

// tables make each kind of table, at its usual size.
var tables = map[string]func([]Member) table{
	"rendezvous": func(m []Member) table { return NewRendezvous(m) },
	"maglev":     func(m []Member) table { return NewMaglev(m, MaglevSize(len(m))) },
	"ring":       func(m []Member) table { return NewRing(m, 160) },
}

// fleet returns members at addresses such as upstreams have; weights are taken
// over and over.
func fleet(n int, weights ...uint32) []Member {
	members := make([]Member, n)
	for i := range members {
		address := fmt.Sprintf("10.0.%d.%d:8080", i/250, i%250)
		members[i] = Member{xxhash.Sum64String(address), weights[i%len(weights)]}
	}
	return members
}

var upTo10 = []uint32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}

// keys are a million each, of what requests are told apart by.
var keys = map[string]func() []uint64{
	"addresses": million(func(i int, b []byte) []byte {
		return fmt.Appendf(b, "172.16.%d.%d", i>>8, i&255) // goes on past 255
	}),
	"paths": million(func(i int, b []byte) []byte {
		return fmt.Appendf(b, "/assets/%x/image-%d.jpg", mix(uint64(i))>>40, i)
	}),
	"users": million(func(i int, b []byte) []byte {
		return strconv.AppendInt(append(b, "user-"...), int64(i), 10)
	}),
	"numbers": sync.OnceValue(func() []uint64 { // not even hashed
		numbers := make([]uint64, 1_000_000)
		for i := range numbers {
			numbers[i] = uint64(i)
		}
		return numbers
	}),
}

func million(text func(i int, b []byte) []byte) func() []uint64 {
	return sync.OnceValue(func() []uint64 {
		hashes := make([]uint64, 1_000_000)
		var b []byte
		for i := range hashes {
			b = text(i, b[:0])
			hashes[i] = xxhash.Sum64(b)
		}
		return hashes
	})
}

// counts is how many of the keys each place has.
func counts(t table, places int, keys []uint64) []int {
	n := make([]int, places)
	for _, key := range keys {
		n[t.At(key)]++
	}
	return n
}

// expectAlike fails the test if two series of counts differ more in their shares
// than chance makes them: chi-square of two samples, at four standard deviations.
func expectAlike(t *testing.T, as, bs []int) {
	t.Helper()
	var a, b float64
	for i := range as {
		a += float64(as[i])
		b += float64(bs[i])
	}
	ratio := math.Sqrt(a / b)
	chi2, freedom := 0.0, -1.0
	for i := range as {
		if as[i]+bs[i] > 0 {
			d := float64(as[i])/ratio - float64(bs[i])*ratio
			chi2 += d * d / float64(as[i]+bs[i])
			freedom++
		}
	}
	if chi2 > freedom+4*math.Sqrt(2*freedom) {
		t.Errorf("chi-square of %d counts is %.1f, want about %v", len(as), chi2, freedom)
	}
}

// The numbers that SplitMix64's reference implementation gives for this seed.
func TestRehashIsSplitMix64(t *testing.T) {
	const seed = 1234567
	want := []uint64{seed, 6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431}
	for attempt, w := range want {
		if got := Rehash(seed, attempt); got != w {
			t.Errorf("attempt %d: %d, want %d", attempt, got, w)
		}
	}
}

// Where keys lead to in one attempt tells nothing of where they lead to in another.
func TestRehashAttemptsAreIndependent(t *testing.T) {
	const n = 10
	for name, build := range tables {
		for of, keys := range keys {
			t.Run(name+"/"+of, func(t *testing.T) {
				at := build(fleet(n, 1))
				share := counts(at, n, keys())
				for _, attempts := range [][2]int{{0, 1}, {1, 2}, {0, 7}} {
					pairs, want := make([]int, n*n), make([]int, n*n)
					for _, key := range keys()[:200_000] {
						pairs[n*at.At(Rehash(key, attempts[0]))+at.At(Rehash(key, attempts[1]))]++
					}
					for i := range want {
						want[i] = share[i/n] * share[i%n]
					}
					expectAlike(t, pairs, want)
				}
			})
		}
	}
}

// lookup goes on by rehash until a member takes the key.
func lookup(at table, key uint64, takes func(key uint64, place int) bool) int {
	for attempt := 0; ; attempt++ {
		tried := Rehash(key, attempt)
		if place := at.At(tried); takes(tried, place) {
			return place
		}
	}
}

func TestAcceptsMoreWithMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key, id := rapid.Uint64().Draw(t, "key"), rapid.Uint64().Draw(t, "id")
		share := rapid.Float64Range(0, 1)
		a, b := share.Draw(t, "a"), share.Draw(t, "b")
		if a > b {
			a, b = b, a
		}
		if Accepts(key, id, a) && !Accepts(key, id, b) {
			t.Errorf("accepted at %v, not at %v", a, b)
		}
		if Accepts(key, id, 0) || !Accepts(key, id, 1) {
			t.Error("accepted at nothing, or not at all")
		}
	})
}

// However keys were led to a member, it takes its share of them; and what one
// takes tells nothing of what another one does.
func TestAcceptsShares(t *testing.T) {
	const n = 10
	members := fleet(n, 1)
	for name, build := range tables {
		for of, keys := range keys {
			t.Run(name+"/"+of, func(t *testing.T) {
				at := build(members)
				for _, share := range []float64{0.1, 0.5, 0.93} {
					var of, took, both [n]float64
					for _, key := range keys() {
						place := at.At(key)
						of[place]++
						if Accepts(key, members[place].ID, share) {
							took[place]++
							if Accepts(key, members[(place+1)%n].ID, share) {
								both[place]++
							}
						}
					}
					for i := range n {
						if slack := 5 * math.Sqrt(of[i]*share*(1-share)); math.Abs(took[i]-of[i]*share) > slack {
							t.Errorf("%d takes %v of %v keys, want %v of them", i, took[i], of[i], share)
						}
						if slack := 5 * math.Sqrt(took[i]*share*(1-share)); math.Abs(both[i]-took[i]*share) > slack {
							t.Errorf("another takes %v of %v keys that %d does, want %v of them", both[i], took[i], i, share)
						}
					}
				}
			})
		}
	}
}

// Going on by rehash from those who take only a part, all get what is left of
// their weights, in proportion.
func TestAcceptsMakesWeightsOfShares(t *testing.T) {
	shares := []float64{1, 0.1, 1, 0.5, 1, 0.25, 0.01, 1, 0, 0.9}
	members := fleet(len(shares), upTo10...)
	for name, build := range tables {
		t.Run(name, func(t *testing.T) {
			at := build(members)
			want := counts(at, len(shares), keys["users"]())
			for i, share := range shares {
				want[i] = int(share * float64(want[i]))
			}
			got := make([]int, len(shares))
			for _, key := range keys["paths"]()[:200_000] {
				got[lookup(at, key, func(key uint64, place int) bool {
					return Accepts(key, members[place].ID, shares[place])
				})]++
			}
			expectAlike(t, got, want)
		})
	}
}
