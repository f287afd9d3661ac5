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
		all := []*reverseproxy.Upstream{dynamicOf(b.statics[0]), dynamicOf(b.statics[1])}
		b.set(true, 0)
		b.list(all[0])
		<-b.come()
		b.list(all[1])
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

// An upstream that takes longer for an answer than requests wait gets the requests that
// wait for it all the same, when their time is over.
func TestSlowUpstreamGetsWhatWaitedForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutage(t, Options{}, 1)
		b.serves = func(*http.Request) (*http.Response, error) {
			time.Sleep(5 * time.Second)
			return &http.Response{StatusCode: 200, Header: make(http.Header), Body: http.NoBody}, nil
		}
		b.set(true)
		var all []<-chan outcome
		for range 60 {
			all = append(all, b.come())
		}
		time.Sleep(time.Second)
		b.set(false)
		time.Sleep(time.Second)
		if n := b.Held(); n != 60-firstRequests {
			t.Errorf("%d wait", n)
		}
		for i, done := range all {
			if o := <-done; o.err != nil || o.took > 3*time.Second+5*time.Second {
				t.Errorf("request %d: %+v", i, o)
			}
		}
	})
}

// Held returns how many requests wait.
func (b *outageTest) Held() int { return b.queue.Held() }

// Requests that wait for upstreams of a source go on when the source returns others:
// when a new request has shown it, or one of them has asked.
func TestRequestsThatWaitGoWhereTheSourceSays(t *testing.T) {
	for name, another := range map[string]bool{"another request comes": true, "no other request comes": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newOutage(t, Options{}, 2)
				b.source.asks = []string{"name"}
				all := []*reverseproxy.Upstream{dynamicOf(b.statics[0]), dynamicOf(b.statics[1])}
				b.set(true, 0)
				b.list(all[0])
				var waiting []<-chan outcome
				for range 20 {
					waiting = append(waiting, b.come())
				}
				time.Sleep(500 * time.Millisecond)
				b.list(all[1])
				most := 2500 * time.Millisecond
				if another {
					if o := <-b.come(); o.err != nil || o.took > 0 {
						t.Errorf("the one that comes: %+v", o)
					}
					most = time.Second
				}
				for i, done := range waiting {
					if o := <-done; o.err != nil || o.took > most {
						t.Errorf("request %d: %+v", i, o)
					}
				}
			})
		})
	}
}

// A request that meets only upstreams whose connections hang is not tried more often
// than retries says. Those that refuse connections cost no time.
func TestHungConnectionsKeepToRetries(t *testing.T) {
	for name, test := range map[string]struct {
		dial time.Duration
		want int
	}{"hung": {3 * time.Second, 1 + defaultRetries}, "refused": {0, 8}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newOutage(t, Options{}, 8)
				b.upstreams = func(r *http.Request) (*http.Response, error) {
					time.Sleep(test.dial)
					b.set(true)
					return b.answer(r)
				}
				if o := <-b.come(); o.err == nil || o.attempts != test.want {
					t.Errorf("%+v, want %d attempts", o, test.want)
				}
			})
		})
	}
}
