package pool

import (
	"context"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-evenkeel/evenkeel/queue"
)

// The upstream resets one client's request, and serves 200 others meanwhile. It was there all
// the time, so none of those that come then has to wait, as after a restart, and none is
// refused. What this machine lacks for a connection does not show otherwise.
func TestAResetSlowsNobodyDown(t *testing.T) {
	for name, test := range map[string]struct {
		upstreams int   // but for the first, they are down
		err       error // of the plugin's first connection
	}{
		"the only upstream":   {1, nil},
		"the last one left":   {2, nil},
		"no file descriptors": {1, syscall.EMFILE},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const takes = 2 * time.Second
				b := newOutage(t, Options{Hold: &queue.HoldOptions{Requests: 50}}, test.upstreams)
				var once sync.Once
				b.connectBy(func(ctx context.Context, network, address string) (conn net.Conn, err error) {
					once.Do(func() { err = test.err })
					if err != nil {
						return nil, err
					}
					return b.dial(ctx, network, address)
				})
				b.serves = func(r *http.Request) (*http.Response, error) {
					if r.Header.Get("Poison") != "" {
						return nil, syscall.ECONNRESET
					}
					time.Sleep(takes)
					return good()
				}
				if test.upstreams > 1 {
					b.set(true, 1)
				}
				var all sync.WaitGroup
				for n := range 800 {
					all.Go(func() {
						if o := b.serve(get()); o.err != nil || o.took > takes {
							t.Errorf("request %d: %+v", n, o)
						}
					})
					if n == 300 {
						all.Go(func() {
							r := get()
							r.Header.Set("Poison", "1")
							b.serve(r)
						})
					}
					time.Sleep(10 * time.Millisecond)
				}
				all.Wait()
			})
		})
	}
}
