package pool

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	logged "go.uber.org/zap/zaptest/observer"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inOrder picks the first candidate that may be picked.
type inOrder struct{}

func (inOrder) Build(*Tier, Picker) Picker { return inOrder{} }
func (inOrder) Pick(q *Query) int          { return q.Any(0) }

// picking is a policy that has one picker for all tiers.
type picking struct{ Picker }

func (p picking) Build(*Tier, Picker) Picker { return p.Picker }

// testPool is a pool on which attempts can be made.
type testPool struct {
	*Pool
	handle *Handle
	logs   *logged.ObservedLogs
}

// network is the number of the network that the latest test has its addresses in:
// what is known of an address outlives a test.
var network int

// host returns the i-th host of a network.
func host(network, i int) string {
	return fmt.Sprintf("10.%d.%d.%d", network>>8&0xff, network&0xff, i)
}

// generation is the number of the latest test's configuration.
var generation uint64

// newPool starts a pool of n upstreams, in a network of their own.
func newPool(t *testing.T, o Options, n int) *testPool {
	network++
	return reloaded(t, o, n)
}

// reloaded starts a pool of n upstreams, in the same network as the one before.
func reloaded(t testing.TB, o Options, n int) *testPool {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	h := new(Handle)
	if err := h.Provision(ctx, &o, inOrder{}, Features{}); err != nil {
		t.Fatal(err)
	}
	core, logs := logged.New(zap.InfoLevel)
	p := h.pool
	generation++
	p.generation = generation
	p.logger, p.policy, p.random = zap.New(core), t.Name(), func() float64 { return 0 }
	p.observer = &observer{decay: time.Second, key: "tried", picked: "picked", refused: "refused"}
	p.observer.join(p, false)
	p.expiry, p.limit, p.timed = time.Hour, 100, true
	for i := range n {
		p.statics = append(p.statics, &reverseproxy.Upstream{
			Dial: host(network, i) + ":80", Host: new(reverseproxy.Host),
		})
	}
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return &testPool{p, h, logs}
}

// use has the picker pick from now on, and the policy have the features besides what
// it has.
func (b *testPool) use(p Picker, f Features) {
	b.building.Lock()
	defer b.building.Unlock()
	b.handle.policy, b.handle.features = picking{p}, f
	b.handles = nil
	b.take(b.handle)
	b.static.snapshot.Store(nil) // of another policy
	b.locate(b.static)
	b.build(b.static)
}

// answers is a transport that answers as it says.
type answers func(r *http.Request) (*http.Response, error)

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) { return a(r) }

// send has an attempt made for the request, on the i-th upstream.
func (b *testPool) send(r *http.Request, i int, by answers) (*http.Response, error) {
	u := b.statics[i]
	ctx := context.WithValue(r.Context(), caddy.CtxKey("reverse_proxy.dial_info"), reverseproxy.DialInfo{Upstream: u, Address: u.Dial})
	ctx = context.WithValue(ctx, caddyhttp.ServerCtxKey, new(caddyhttp.Server))
	b.observer.inner = by
	return b.observer.roundTrip(r.WithContext(ctx))
}

func get() *http.Request { return httptest.NewRequest(http.MethodGet, "/", nil) }
