package pool

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
	"github.com/caddy-evenkeel/evenkeel/queue"
)

// outageTest is a pool whose upstreams go down and come back: for requests, and for
// the connections that the plugin opens by itself.
type outageTest struct {
	*testPool
	t *testing.T

	mu          sync.Mutex
	down        map[string]bool // by dial address: connections are refused
	serves      answers         // of those that are up; nil: answer 200 at once
	connections map[string]int  // of the plugin, by dial address
	attempts    map[string]int  // of requests, likewise
}

// newOutage starts a pool of n upstreams that are up.
func newOutage(t *testing.T, o Options, n int) *outageTest {
	t.Helper()
	network++
	time.Sleep(time.Duration(network) * time.Hour) // the process counts its connections, and each bubble's clock begins anew
	return reloadedOutage(t, o, n)
}

// reloadedOutage starts a pool of n upstreams, in the same network as the one before.
func reloadedOutage(t *testing.T, o Options, n int) *outageTest {
	t.Helper()
	b := &outageTest{
		t: t, down: make(map[string]bool), connections: make(map[string]int), attempts: make(map[string]int),
	}
	ctx, err := caddy.ProvisionContext(&caddy.Config{Logging: new(caddy.Logging)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(ctx)
	t.Cleanup(cancel)
	b.testPool = reloadedIn(t, ctx, o, n, func(p *Pool) {
		if err := p.joinApp(ctx); err != nil {
			t.Fatal(err)
		}
		if p.options.rules != nil {
			p.connector, err = healthcheck.NewConnector(&reverseproxy.HTTPTransport{
				Transport: &http.Transport{DialContext: b.dial},
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		p.mostAttempts = 1 + defaultRetries
	})
	if err := b.app.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.app.Stop() })
	b.upstreams = b.answer
	return b
}

// set takes upstreams down or brings them back; without numbers, all.
func (b *outageTest) set(down bool, numbers ...int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, u := range b.statics {
		if len(numbers) > 0 && !contains(numbers, i) {
			continue
		}
		b.down[u.Dial] = down
	}
}

func contains(numbers []int, n int) bool {
	for _, i := range numbers {
		if i == n {
			return true
		}
	}
	return false
}

func (b *outageTest) isDown(address string, count map[string]int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	count[address]++
	return b.down[address]
}

func (b *outageTest) dial(_ context.Context, _, address string) (net.Conn, error) {
	if b.isDown(address, b.connections) {
		return nil, errors.New("refused")
	}
	conn, _ := net.Pipe()
	return conn, nil
}

func (b *outageTest) answer(r *http.Request) (*http.Response, error) {
	if b.isDown(r.URL.Host, b.attempts) {
		return nil, reverseproxy.NewDialError(errors.New("refused"))
	}
	b.mu.Lock()
	serves := b.serves
	b.mu.Unlock()
	if serves != nil {
		return serves(r)
	}
	return good()
}

// good is an answer that an upstream gives at once.
func good() (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: make(http.Header), Body: http.NoBody}, nil
}

// take has upstreams that are up take so long for each answer. Meanwhile Caddy counts the
// request.
func (b *outageTest) take(d time.Duration) {
	counts := make(map[string]*atomic.Int64)
	for _, u := range b.statics {
		counts[u.Dial] = (*atomic.Int64)(unsafe.Pointer(u.Host))
	}
	b.serves = func(r *http.Request) (*http.Response, error) {
		counts[r.URL.Host].Add(1)
		defer counts[r.URL.Host].Add(-1)
		time.Sleep(d)
		return good()
	}
}

// connectBy has the plugin open its connections by the function.
func (b *outageTest) connectBy(dial func(ctx context.Context, network, address string) (net.Conn, error)) {
	b.t.Helper()
	var err error
	b.connector, err = healthcheck.NewConnector(&reverseproxy.HTTPTransport{Transport: &http.Transport{DialContext: dial}})
	if err != nil {
		b.t.Fatal(err)
	}
}

// within waits for so long, or returns false once the context has ended.
func within(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// counted returns how many attempts and connections there were on all upstreams.
func (b *outageTest) counted() (attempts, connections int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, n := range b.attempts {
		attempts += n
	}
	for _, n := range b.connections {
		connections += n
	}
	return attempts, connections
}

// list has the source return just these upstreams from now on.
func (b *outageTest) list(upstreams ...*reverseproxy.Upstream) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.statics = upstreams
}

func (b *outageTest) listed() reverseproxy.UpstreamPool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.statics
}

// outcome is what became of a request.
type outcome struct {
	err        error // nil: it was answered
	attempts   int
	took       time.Duration
	reason     any // the value of the placeholder
	retryAfter string
}

// serve serves the request as Caddy does, and returns what became of it.
func (b *outageTest) serve(r *http.Request) (o outcome) {
	r, end := until(r)
	defer end()
	began, w := time.Now(), httptest.NewRecorder()
	o.err = errNoUpstream
	r.URL.Host = ""
	for range 1 + defaultRetries + moreRetries {
		if o.err != errNoUpstream && !sentNothing(o.err) && r.Method != http.MethodGet {
			break
		}
		u := b.handle.Select(b.listed(), r, w)
		if u == nil {
			continue
		}
		o.attempts++
		r.URL.Host = u.Dial
		ctx := context.WithValue(r.Context(), caddy.CtxKey("reverse_proxy.dial_info"), reverseproxy.DialInfo{Upstream: u, Address: u.Dial})
		var res *http.Response
		if res, o.err = b.roundTrip(r.WithContext(context.WithValue(ctx, caddyhttp.ServerCtxKey, new(caddyhttp.Server)))); o.err == nil {
			res.Body.Close()
			break
		}
	}
	o.took, o.retryAfter = time.Since(began), w.Header().Get("Retry-After")
	o.reason, _ = r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer).Get(reasonKey)
	return o
}

var errNoUpstream = errors.New("no upstreams available")

func sentNothing(err error) bool {
	var dial reverseproxy.DialError
	return errors.As(err, &dial)
}

// come lets a GET come, and returns where its outcome is sent.
func (b *outageTest) come() <-chan outcome {
	done := make(chan outcome, 1)
	go func() { done <- b.serve(get()) }()
	synctest.Wait()
	return done
}

// queueOf lets so many requests wait while all are down.
func (b *outageTest) queueOf(requests int) {
	o := *b.options.hold
	o.Requests = requests
	b.Pool.queue = queue.New(nil, &o)
}
