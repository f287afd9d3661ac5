package pool

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
)

// returns is what a source returns, of the given numbers.
func returns(addresses ...string) (all reverseproxy.UpstreamPool) {
	for _, address := range addresses {
		all = append(all, &reverseproxy.Upstream{Dial: address, Host: new(reverseproxy.Host)})
	}
	return all
}

// held counts how often members have the addresses that the pool remembers, and how
// many of these there are.
func (b *testPool) held() (refs, addresses int) {
	b.memory.mu.Lock()
	defer b.memory.mu.Unlock()
	for _, p := range b.memory.addresses {
		refs += p.refs
	}
	return refs, len(b.memory.addresses)
}

// What a pool holds of the process it gives back when it is closed: no less,
// although requests go on to be served by it, and no more.
func TestClosedPoolHoldsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pick := func(b *testPool, addresses ...string) {
			t.Helper()
			if b.handle.Select(returns(addresses...), nil, nil) == nil {
				t.Errorf("nothing picked of %v", addresses)
			}
		}
		expect := func(when string, b *testPool, refs, addresses int) {
			t.Helper()
			if r, p := b.held(); r != refs || p != addresses {
				t.Errorf("%s: %d addresses are held %d times, want %d and %d", when, p, r, addresses, refs)
			}
		}
		running := newPool(t, Options{}, 0)
		pick(running, "a:80", "b:80")
		expect("running", running, 2, 2)
		closing := reloaded(t, Options{}, 0)
		pick(closing, "a:80", "c:80")
		expect("both", running, 4, 3)
		if err := closing.handle.Close(); err != nil {
			t.Fatal(err)
		}
		expect("closed", running, 2, 3)
		pick(closing, "a:80", "d:80")
		expect("closed, and still in use", running, 2, 3)
		time.Sleep(2 * time.Hour)
		pick(closing, "a:80", "e:80")
		pick(running, "a:80", "b:80")
		expect("swept", running, 2, 2)
	})
}

// The membership last asked for is one of those that are rebuilt, even if it is evicted
// from the cache meanwhile.
func TestLatestMembershipIsOneThatIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPool(t, Options{}, 0)
		b.limit = 1 // so that the cache has room for one of these
		d := &b.dynamic
		list := func(addresses ...string) *membership {
			return b.membershipOf(returns(addresses...), instant.Now())
		}
		first := list("a:80", "b:80", "c:80")
		d.show(first)
		second := list("d:80", "e:80", "f:80")
		if ms := d.latest.Load(); ms != nil {
			t.Error("the latest membership is one that has gone")
		}
		d.show(second)
		if d.latest.Load() != second {
			t.Error("a membership that is there is not shown")
		}
		d.show(first) // by a request that has found it before it went
		if ms := d.latest.Load(); ms == first {
			t.Error("the latest membership is one that had gone")
		}
	})
}

func TestHistoriesOfDynamicUpstreamsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPool(t, Options{}, 0)
		for i := range 100 {
			b.handle.Select(returns(host(network, i)+":80"), nil, nil)
		}
		time.Sleep(b.expiry + time.Minute)
		b.handle.Select(returns("a:80"), nil, nil)
		if n, _ := b.memory.dynamicHistories.Len(); n != 1 {
			t.Errorf("%d histories are kept, one is in use", n)
		}
	})
}
