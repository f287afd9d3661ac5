package pool

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/queue"
)

// A connection to the upstream takes 2.5 s, less than dial_timeout. After an outage it gets
// requests again, whether it is the only one or one of two.
func TestAnUpstreamThatIsSlowToConnectToComesBack(t *testing.T) {
	for name, n := range map[string]int{"the only one": 1, "one of two": 2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newOutage(t, Options{}, n)
				slow := b.statics[0].Dial
				b.connectBy(func(ctx context.Context, network, address string) (net.Conn, error) {
					if address == slow && !within(ctx, 2500*time.Millisecond) {
						return nil, ctx.Err()
					}
					return b.dial(ctx, network, address)
				})
				b.set(true, 0)
				for range 2 * consecutive {
					b.come()
				}
				time.Sleep(time.Minute)
				b.set(false)
				time.Sleep(time.Minute)
				before := b.attempts[slow]
				if o := <-b.come(); o.err != nil || b.attempts[slow] == before {
					t.Errorf("%+v, %d attempts on the one that is back", o, b.attempts[slow]-before)
				}
			})
		})
	}
}

// After a restart, clients that poll come first, and each of their requests takes 25 s. They
// do not take all the places that the upstream has at first for so long: quick requests are
// answered at once.
func TestLongPollsHoldUpNoQuickRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutage(t, Options{Hold: &queue.HoldOptions{Duration: caddy.Duration(30 * time.Second)}}, 1)
		b.serves = func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("Poll") != "" {
				time.Sleep(25 * time.Second)
			}
			return good()
		}
		b.set(true)
		var polls sync.WaitGroup
		for range firstRequests + 4 {
			polls.Go(func() {
				r := get()
				r.Header.Set("Poll", "1")
				if o := b.serve(r); o.err != nil {
					t.Errorf("a poll: %+v", o)
				}
			})
		}
		time.Sleep(time.Second)
		b.set(false)
		time.Sleep(5 * time.Second)
		if o := <-b.come(); o.err != nil || o.took > 0 {
			t.Errorf("a quick request: %+v", o)
		}
		polls.Wait()
	})
}

// The host of the only upstream reboots: connections hang until they time out, all at once.
// The retries of those requests are more than the budget has room for. They are no load for
// anybody, so that they wait for the host as hold says.
func TestTheBudgetLeavesRoomForAHungHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate = 100
		b := newOutage(t, Options{Hold: &queue.HoldOptions{Duration: caddy.Duration(30 * time.Second)}}, 1)
		b.connectBy(func(ctx context.Context, network, address string) (net.Conn, error) {
			if b.isDown(address, b.connections) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return b.dial(ctx, network, address)
		})
		b.upstreams = func(r *http.Request) (*http.Response, error) {
			if b.isDown(r.URL.Host, b.attempts) {
				time.Sleep(3 * time.Second)
				return nil, reverseproxy.NewDialError(errors.New("i/o timeout"))
			}
			return good()
		}
		var mu sync.Mutex
		failed := make(map[any]int) // by reason
		var all sync.WaitGroup
		come := func(seconds int) {
			for range seconds * rate {
				all.Go(func() {
					if o := b.serve(get()); o.err != nil {
						mu.Lock()
						failed[o.reason]++
						mu.Unlock()
					}
				})
				time.Sleep(time.Second / rate)
			}
		}
		come(1)
		b.set(true)
		come(6)
		b.set(false)
		come(1)
		all.Wait()
		if len(failed) > 0 {
			t.Errorf("failed, by reason: %v", failed)
		}
	})
}
