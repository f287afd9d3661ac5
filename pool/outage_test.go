package pool

import (
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
)

// dynamicOf returns the upstream as a dynamic source returns it.
func dynamicOf(u *reverseproxy.Upstream) *reverseproxy.Upstream {
	return &reverseproxy.Upstream{Dial: u.Dial, Host: new(reverseproxy.Host)}
}

func TestRequestsWaitForTheOnlyUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutage(t, Options{}, 1)
		b.set(true)
		var all []<-chan outcome
		for range 100 {
			all = append(all, b.come())
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Second)
		b.set(false)
		for i, done := range all {
			if o := <-done; o.err != nil {
				t.Errorf("request %d: %+v", i, o)
			}
		}
		attempts, connections := b.counted()
		t.Log(attempts, connections)
	})
}

// A request that its upstream resets, though it is there, does not wait for it.
func TestRequestThatAnUpstreamResetsDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutage(t, Options{}, 1)
		b.serves = func(*http.Request) (*http.Response, error) { return nil, syscall.ECONNRESET }
		o := <-b.come()
		attempts, connections := b.counted()
		if o.took > 200*time.Millisecond || attempts != 1 || connections > 1 {
			t.Errorf("%+v; %d attempts, %d connections", o, attempts, connections)
		}
	})
}

// The same where a retry may go to the same upstream: it is tried again at once.
func TestRetrySameDoesNotWaitForWhatIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutage(t, Options{RetrySame: true, DefaultMaxRequests: 1}, 1)
		b.serves = func(*http.Request) (*http.Response, error) {
			busy(b.statics[0], 1)
			return nil, syscall.ECONNRESET
		}
		if o := <-b.come(); o.took > 0 || o.attempts != 1 {
			t.Errorf("%+v", o)
		}
		busy(b.statics[0], 0)
	})
}

// Upstreams that no source returns any more are not connected to for ever.
func TestDroppedUpstreamIsNoLongerConnectedTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutage(t, Options{}, 2)
		b.statics[0], b.statics[1] = dynamicOf(b.statics[0]), dynamicOf(b.statics[1])
		all := b.statics
		b.set(true, 0)
		b.statics = all[:1:1]
		<-b.come()
		b.statics = all[1:]
		gone := all[0].Dial
		for range 3 * 60 {
			time.Sleep(time.Minute)
			<-b.come()
		}
		b.mu.Lock()
		before := b.connections[gone]
		b.mu.Unlock()
		time.Sleep(time.Hour)
		b.mu.Lock()
		defer b.mu.Unlock()
		if after := b.connections[gone]; before == 0 || after != before {
			t.Errorf("%d connections within three hours, and %d in the next", before, after-before)
		}
	})
}

// An outage that checks have seen is over when they pass, even if no request comes: the
// next one is bridged, too.
func TestOutageThatEndsWithoutARequestIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutage(t, Options{}, 1)
		b.noteOutage(b.static, nil, &Snapshot{down: true}, 1)
		lost := func(down bool, after time.Duration) int64 {
			time.Sleep(after)
			now := instant.Now()
			b.noteOutage(b.static, &Snapshot{down: !down}, &Snapshot{down: down}, now)
			return now - b.static.history.outage.lost.Load()
		}
		lost(false, time.Minute)
		if for1 := lost(true, time.Second); for1 == 0 {
			t.Error("a second after the return, the loss begins another outage")
		}
		time.Sleep(forgiven)
		if since := b.lose(b.static, instant.Now()); since == instant.Now() {
			t.Error("though none came back, a later look begins another outage")
		}
		lost(false, time.Minute)
		if for1 := lost(true, forgiven); for1 != 0 {
			t.Errorf("the next outage has lasted for %v already", time.Duration(for1))
		}
	})
}

// An upstream whose requests go through a proxy is not connected to. It must not be
// given up: requests try it.
func TestUpstreamBehindAProxyIsTriedByRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutage(t, Options{}, 1)
		b.set(true)
		m := b.static.members[0]
		if !m.connects {
			t.Fatal("it is not connected to, without a proxy either")
		}
		m.connects = false
		for range 2 * consecutive {
			if o := <-b.come(); o.took > 0 {
				t.Errorf("%+v", o)
			}
		}
		b.set(false)
		if o := <-b.come(); o.err != nil {
			t.Errorf("%+v", o)
		}
	})
}
