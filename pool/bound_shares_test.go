package pool

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/outlier"
)

// mosts returns how many requests each candidate of the pool's tier may have.
func (b *testPool) mosts(tier int) (mosts []int64) {
	var q Query
	q.enter(b.handle, b.static.snapshot.Load().tiers[tier])
	for i := range q.Candidates {
		mosts = append(mosts, q.most(&q.Candidates[i]))
	}
	return mosts
}

// fly has so many requests in flight on a member.
func fly(m *member, requests int) {
	for range requests {
		m.inFlight.add(1)
	}
}

func expectMosts(t *testing.T, what string, got []int64, want ...int64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %v, want %v", what, got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("%s: %v, want %v", what, got, want)
		}
	}
}

// The bound is ⌈c·(total+1)·w/W⌉.
func TestBoundIsAShareByWeight(t *testing.T) {
	b := bounded(t, Options{Weights: map[string]int{host(network+1, 0): 3}}, 3, 1.5)
	expectMosts(t, "nothing in flight", b.mosts(0), 1, 1, 1)
	fly(b.static.members[0], 9)
	expectMosts(t, "nine in flight", b.mosts(0), 9, 3, 3)
	fly(b.static.members[1], 10)
	expectMosts(t, "nineteen in flight", b.mosts(0), 18, 6, 6)
}

// An address that is there twice has one count and twice the weight.
func TestBoundOfAnAddressThatIsThereTwice(t *testing.T) {
	b := bounded(t, Options{}, 2, 1)
	statics := append(b.statics, &reverseproxy.Upstream{Dial: b.statics[0].Dial, Host: b.statics[0].Host})
	b.statics = statics
	if err := b.handle.Start(); err != nil {
		t.Fatal(err)
	}
	fly(b.static.members[0], 5)
	if n := b.has(2); n != 5 {
		t.Errorf("the address has 5, and its other place %d", n)
	}
	expectMosts(t, "five in flight", b.mosts(0), 4, 2, 4)
}

// What is in flight on another level does not count.
func TestBoundIsALevels(t *testing.T) {
	b := bounded(t, Options{Priorities: map[string]int{host(network+1, 2): 1, host(network+1, 3): 1}}, 4, 1)
	fly(b.static.members[0], 9)
	expectMosts(t, "level 0", b.mosts(0), 5, 5)
	expectMosts(t, "level 1", b.mosts(1), 1, 1)
}

// What is in flight is told as a part of the fair share; an idle one is never above
// it.
func TestUsedShareIsAPartOfTheFairShare(t *testing.T) {
	b := bounded(t, Options{}, 2, 2)
	var q Query
	q.enter(b.handle, b.static.snapshot.Load().tiers[0])
	expect := func(what string, first, second float64) {
		t.Helper()
		if q.UsedShare(0) != first || q.UsedShare(1) != second {
			t.Errorf("%s: %v and %v, want %v and %v", what, q.UsedShare(0), q.UsedShare(1), first, second)
		}
	}
	expect("nothing in flight", 1, 1) // each half a request, with the next
	fly(b.static.members[0], 1)
	expect("one", 2, 1)
	fly(b.static.members[0], 3)
	expect("four", 5/2.5, 1/2.5)
	fly(b.static.members[1], 3)
	expect("four and three", 5/4.0, 1)
	fly(b.static.members[1], 1)
	expect("four and four", 5/4.5, 5/4.5)
}

// 110 % of 50 are 55, though 1.1 × 50 is a little more in floating point.
func TestBoundIsExact(t *testing.T) {
	b := bounded(t, Options{}, 2, 110/100.0)
	fly(b.static.members[0], 49)
	fly(b.static.members[1], 50)
	expectMosts(t, "a hundred with the next", b.mosts(0), 55, 55)
}

// Requests that hang on those that are down do not let the others have more: these
// have nothing to do with them.
func TestBoundIsOfThoseThatMayBePicked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bounded(t, Options{}, 3, 1.5)
		fly(b.static.members[0], 30)
		b.eject(b.static.members[0], outlier.Finding{Rule: outlier.ByLocal})
		synctest.Wait()
		expectMosts(t, "nothing in flight on the others", b.mosts(0), 1, 1)
	})
}

// Where a source answers by request, each set of upstreams is bounded by its own
// requests.
func TestBoundIsOfASetOfDynamicUpstreams(t *testing.T) {
	b := bounded(t, Options{}, 0, 1)
	set := func(hosts ...int) (all []*reverseproxy.Upstream) {
		for _, i := range hosts {
			all = append(all, &reverseproxy.Upstream{Dial: host(network, i) + ":80", Host: new(reverseproxy.Host)})
		}
		return all
	}
	b.handle.Select(set(1, 2), get(), nil)
	fly(b.member(host(network, 1)+":80"), 30)
	other := set(3, 4)
	for n, want := range []int{0, 1, 0, 1} {
		if got := b.handle.Select(other, get(), nil); got != other[want] {
			t.Errorf("request %d: picked %s", n+1, got.Dial)
		}
	}
}

// nest is a picker that lets another one answer, that of a policy inside; other
// requests come to what that has picked.
type nest struct {
	inner Picker
	looks int
}

func (n *nest) Pick(q *Query) int {
	picked := n.inner.Pick(q)
	if n.looks++; n.looks == 1 {
		for range 3 {
			q.Candidates[picked].member.inFlight.take(100)
		}
	}
	return picked
}

// The bound of a policy inside another one holds, too, when a place is lost between
// being found and being taken.
func TestInnerBoundIsLookedAtAgainWhenPlaceIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPool(t, Options{}, 2)
		inner := &Handle{pool: b.Pool, policy: inOrder{}, features: Features{Bound: 1.2}}
		b.take(inner)
		b.use(&nest{inner: inner.Build(new(Tier), nil)}, Features{})
		if got := b.pick(); got != 1 {
			t.Errorf("picked %d, which has %d of %d", got, b.has(got), 4)
		}
	})
}

// An upstream that is configured, for when the source fails, and that the source
// returns as well, has one count.
func TestBoundOfAnAddressThatIsStaticAndDynamic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bounded(t, Options{}, 2, 1)
		var dynamic []*reverseproxy.Upstream
		for _, u := range b.statics {
			dynamic = append(dynamic, &reverseproxy.Upstream{Dial: u.Dial, Host: new(reverseproxy.Host)})
		}
		for n, want := range []int{0, 1, 0} { // ⌈3/2⌉ is two
			r := get()
			picked := b.handle.Select(dynamic, r, nil)
			if picked != dynamic[want] {
				t.Fatalf("request %d: picked %s, want %s", n+1, picked.Dial, dynamic[want].Dial)
			}
			if _, err := b.send(r, want, func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(""))}, nil
			}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
		}
	})
}

// What was counted for sets of dynamic upstreams that are forgotten is so, too.
func TestForgottenSetsAreNotCounted(t *testing.T) {
	b := bounded(t, Options{}, 0, 1)
	b.limit = 5 * maxMemberships
	address := func(i int) *reverseproxy.Upstream {
		return &reverseproxy.Upstream{Dial: fmt.Sprint(host(network, 1), ":", i), Host: new(reverseproxy.Host)}
	}
	for i := range maxMemberships + 50 {
		b.handle.Select([]*reverseproxy.Upstream{address(1), address(2 + i)}, get(), nil)
	}
	if n := len(b.member(address(1).Dial).inFlight.totals); n > maxMemberships {
		t.Errorf("one that is in %d sets that are known counts in %d", maxMemberships, n)
	}
}
