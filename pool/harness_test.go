package pool

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	logged "go.uber.org/zap/zaptest/observer"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/attempt"
	"github.com/caddy-evenkeel/evenkeel/outlier"
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
	handle    *Handle
	logs      *logged.ObservedLogs
	roundTrip func(*http.Request) (*http.Response, error)
	upstreams answers // what those do with an attempt
	retried   bool    // answered requests are, too
}

// install puts the pool's transport before one that does as the test says.
func (b *testPool) install(t testing.TB, retriesAnswered bool) {
	t.Helper()
	h := &reverseproxy.Handler{
		Transport:     answers(func(r *http.Request) (*http.Response, error) { return b.upstreams(r) }),
		LoadBalancing: new(reverseproxy.LoadBalancing),
	}
	if retriesAnswered {
		h.LoadBalancing.RetryMatchRaw = caddyhttp.RawMatcherSets{{}}
	}
	transport, err := attempt.Install(caddy.Context{}, h)
	if err != nil {
		t.Fatal(err)
	}
	transport.Join(b.Pool, false)
	b.transport, b.roundTrip = transport, h.Transport.RoundTrip
}

// network is the number of the network, within 172.0.0.0/8, of the latest test:
// what is known of an address outlives a test.
var network int

// host returns the i-th host of a network.
func host(network, i int) string {
	return fmt.Sprintf("172.%d.%d.%d", network>>8&0xff, network&0xff, i)
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
	return reloadedIn(t, ctx, o, n, func(*Pool) {})
}

// reloadedIn is reloaded in the context of a configuration. Prepare prepares the pool
// before it starts.
func reloadedIn(t testing.TB, ctx caddy.Context, o Options, n int, prepare func(*Pool)) *testPool {
	t.Helper()
	h := new(Handle)
	if err := h.Provision(ctx, &o, inOrder{}, Features{}); err != nil {
		t.Fatal(err)
	}
	core, logs := logged.New(zap.InfoLevel)
	p := h.pool
	generation++
	p.generation = generation
	p.baseLogger, p.policy = zap.New(core), t.Name()
	if o.rules != nil {
		p.detector = outlier.NewDetector(o.rules, func() float64 { return 0 })
	}
	b := &testPool{Pool: p, handle: h, logs: logs}
	b.install(t, false)
	p.expiry, p.limit, p.latency = time.Hour, 100, &LatencyFeature{Decay: time.Second}
	for i := range n {
		p.statics = append(p.statics, &reverseproxy.Upstream{
			Dial: host(network, i) + ":80", Host: new(reverseproxy.Host),
		})
	}
	prepare(p)
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
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
	b.makeSessions(b.static)
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
	b.upstreams = by
	return b.roundTrip(r.WithContext(ctx))
}

// get returns a request as Caddy has it.
func get() *http.Request { return withReplacer(httptest.NewRequest(http.MethodGet, "/", nil)) }

func withReplacer(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), caddy.ReplacerCtxKey, caddy.NewReplacer()))
}

// until returns the request with an end.
func until(r *http.Request) (ending *http.Request, end context.CancelFunc) {
	ctx, end := context.WithCancel(r.Context())
	return r.WithContext(ctx), end
}

// consecutive is the default of failures in a row that eject.
const consecutive = 5

// busy sets how many requests Caddy counts for an upstream: the number is the first
// field of its Host.
func busy(u *reverseproxy.Upstream, requests int) {
	(*atomic.Int64)(unsafe.Pointer(u.Host)).Store(int64(requests))
}
