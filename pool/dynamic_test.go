package pool

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// returns is what a source returns, of the given numbers.
func returns(addresses ...string) (all reverseproxy.UpstreamPool) {
	for _, address := range addresses {
		all = append(all, &reverseproxy.Upstream{Dial: address, Host: new(reverseproxy.Host)})
	}
	return all
}

// held counts how often histories of the pool's configuration are in use.
func (b *bench) held() (n int) {
	histories.mu.Lock()
	defer histories.mu.Unlock()
	for key, e := range histories.entries {
		if strings.HasPrefix(key, b.signature+" ") {
			n += e.refs
		}
	}
	return n
}

// What a pool holds of the process it gives back when it is closed: no less,
// although requests go on to be served by it, and no more.
func TestClosedPoolHoldsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := Options{FailbackDelay: 17} // a configuration that no other test has
		pick := func(b *bench, addresses ...string) {
			t.Helper()
			if b.handle.Select(returns(addresses...), nil, nil) == nil {
				t.Errorf("nothing picked of %v", addresses)
			}
		}
		running := newBench(t, o, 0)
		pick(running, "a:80", "b:80")
		before := running.held()
		closing := reloaded(t, o, 0)
		pick(closing, "a:80", "b:80")
		if err := closing.handle.Close(); err != nil {
			t.Fatal(err)
		}
		if n := running.held(); n != before {
			t.Errorf("closed: histories are held %d times, want %d", n, before)
		}
		pick(closing, "a:80", "c:80")
		if n := running.held(); n != before {
			t.Errorf("closed, and still in use: histories are held %d times, want %d", n, before)
		}
		time.Sleep(2 * time.Hour)
		pick(closing, "a:80", "d:80")
		if n := running.held(); n != before {
			t.Errorf("swept: histories are held %d times, want %d", n, before)
		}
	})
}
