package selectors

import (
	"context"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

func init() { caddy.RegisterModule(new(slowFor)) }

// slowFor is a transport that takes as long for an upstream as the test says.
type slowFor struct{}

var takes, late map[string]time.Duration // until the header, and from there to the end

func (*slowFor) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.reverse_proxy.transport.slow_for", New: func() caddy.Module { return new(slowFor) }}
}

func (*slowFor) RoundTrip(r *http.Request) (*http.Response, error) {
	dial, _ := reverseproxy.GetDialInfo(r.Context())
	select {
	case <-time.After(takes[dial.Upstream.Dial]):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	return &http.Response{StatusCode: 200, ProtoMajor: 1, Body: &lateBody{late[dial.Upstream.Dial]}}, nil
}

// slowHandler provisions a handler whose upstreams take as long as given.
func slowHandler(t *testing.T, policy object, untilHeader ...time.Duration) *reverseproxy.Handler {
	pooltest.Isolate()
	takes = make(map[string]time.Duration)
	var upstreams []object
	for i, d := range untilHeader {
		takes[pooltest.Dial(i)] = d
		upstreams = append(upstreams, object{"dial": pooltest.Dial(i)})
	}
	return pooltest.LoadHandler(t, object{
		"load_balancing": object{"selection_policy": policy},
		"transport":      object{"protocol": "slow_for"},
		"upstreams":      upstreams,
	})
}

func TestPeakEWMAPrefersTheFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := slowHandler(t, object{"policy": "peak_ewma"}, 50*time.Millisecond, 5*time.Millisecond, 50*time.Millisecond)
		got := make(map[string]int)
		for range 500 {
			got[pooltest.Serve(h, pooltest.NewRequest())]++
		}
		if got[pooltest.Dial(1)] < 450 {
			t.Errorf("%s is ten times as fast, yet %v", pooltest.Dial(1), got)
		}
	})
}

func TestPeakEWMAAvoidsTheHungAndReturnsToTheMended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := slowHandler(t, object{"policy": "peak_ewma"}, 10*time.Millisecond, 10*time.Millisecond)
		for range 100 {
			pooltest.Serve(h, pooltest.NewRequest())
		}
		takes[pooltest.Dial(0)] = time.Hour
		ctx, cancel := context.WithCancel(context.Background())
		hung := 0
		for range 1000 {
			r := pooltest.NewRequest()
			u := h.LoadBalancing.SelectionPolicy.Select(h.Upstreams, r, nil)
			if u.Dial != pooltest.Dial(0) {
				pooltest.Attempt(h, r, u)
				continue
			}
			hung++
			pooltest.SetActive(u, int64(hung))
			go pooltest.Attempt(h, r.WithContext(withValuesOf(ctx, r)), u)
			synctest.Wait()
		}
		if hung < 1 || hung > 3 {
			t.Errorf("%d of 1000 requests went to the hung one", hung)
		}
		cancel()
		synctest.Wait()
		pooltest.SetActive(h.Upstreams[0], 0)
		takes[pooltest.Dial(0)] = time.Millisecond
		got := make(map[string]int)
		for range 2000 {
			got[pooltest.Serve(h, pooltest.NewRequest())]++
		}
		if got[pooltest.Dial(0)] < 1000 {
			t.Errorf("%s is the fastest now, yet %v", pooltest.Dial(0), got)
		}
	})
}

// withValuesOf returns a context that ends with the first and knows what the
// request's knows.
func withValuesOf(ctx context.Context, r *http.Request) context.Context {
	for _, key := range []any{caddy.ReplacerCtxKey, caddyhttp.VarsCtxKey} {
		ctx = context.WithValue(ctx, key, r.Context().Value(key))
	}
	return ctx
}

func TestClientThatGoesAwayIsNobodysFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := slowHandler(t, object{"policy": "peak_ewma"}, 10*time.Millisecond, 11*time.Millisecond)
		for range 100 {
			pooltest.Serve(h, pooltest.NewRequest())
		}
		takes[pooltest.Dial(0)] = 40 * time.Millisecond
		r := pooltest.NewRequest()
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Millisecond)
		defer cancel()
		pooltest.Attempt(h, r.WithContext(ctx), h.Upstreams[0])
		takes[pooltest.Dial(0)] = 10 * time.Millisecond
		got := make(map[string]int)
		for range 100 {
			got[pooltest.Serve(h, pooltest.NewRequest())]++
		}
		if got[pooltest.Dial(0)] < 50 {
			t.Errorf("a client that left counts against %s: %v", pooltest.Dial(0), got)
		}
	})
}

func TestObservedTransportIsWrappedOnce(t *testing.T) {
	h := pooltest.NewHandler(t, object{"policy": "header", "field": "X-User", "fallback": object{
		"policy": "managed", "inner": object{"policy": "peak_ewma"},
	}}, 2)
	if _, ok := h.Transport.(interface{ CloseIdleConnections() }); ok {
		t.Error("a plain http.Transport")
	}
	var picked *reverseproxy.Upstream
	for range 10 { // as Caddy's fallbacks do, with a nil writer
		picked = h.LoadBalancing.SelectionPolicy.Select(h.Upstreams, pooltest.NewRequest(), nil)
	}
	if picked == nil {
		t.Error("nothing picked")
	}
}

// lateBody is a body that ends only when it is told to.
type lateBody struct{ left time.Duration }

func (b *lateBody) Read([]byte) (int, error) {
	time.Sleep(b.left)
	return 0, io.EOF
}

func (*lateBody) Close() error { return nil }

func TestLastByteIsMeasuredToTheEndOnlyOfWhatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := slowHandler(t, object{"policy": "peak_ewma", "measure": "last_byte"}, 2*time.Millisecond, 5*time.Millisecond)
		late = map[string]time.Duration{pooltest.Dial(0): 100 * time.Millisecond, pooltest.Dial(1): 5 * time.Millisecond}
		defer func() { late = nil }()
		count := func(finish func(io.ReadCloser)) map[string]int {
			got := make(map[string]int)
			for range 200 {
				r := pooltest.NewRequest()
				u := h.LoadBalancing.SelectionPolicy.Select(h.Upstreams, r, nil)
				finish(pooltest.RoundTrip(t, h, r, u).Body)
				got[u.Dial]++
			}
			return got
		}
		read := func(b io.ReadCloser) {
			_, _ = io.Copy(io.Discard, b)
			b.Close()
		}
		if got := count(read); got[pooltest.Dial(1)] < 190 {
			t.Errorf("%s is slower to its last byte, yet %v", pooltest.Dial(0), got)
		}
		for range 50 { // clients that leave after the header
			pooltest.RoundTrip(t, h, pooltest.NewRequest(), h.Upstreams[0]).Body.Close()
		}
		if got := count(read); got[pooltest.Dial(1)] < 190 {
			t.Errorf("responses without end made %s look fast: %v", pooltest.Dial(0), got)
		}
	})
}
