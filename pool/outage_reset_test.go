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
	for name, first := range map[string]error{ // of the plugin's connections
		"the plugin connects": nil, "no file descriptors": syscall.EMFILE,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const takes = 2 * time.Second
				b := newOutage(t, Options{Hold: &queue.HoldOptions{Requests: 50}}, 1)
				var once sync.Once
				b.connectBy(func(ctx context.Context, network, address string) (conn net.Conn, err error) {
					once.Do(func() { err = first })
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
