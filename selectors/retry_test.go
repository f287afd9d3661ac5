package selectors

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

func init() { caddy.RegisterModule(new(refusing)) }

// refusing is a transport none of whose attempts succeed.
type refusing struct{}

func (*refusing) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.reverse_proxy.transport.refusing", New: func() caddy.Module { return new(refusing) }}
}

func (*refusing) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, reverseproxy.NewDialError(errors.New("refused"))
}

// upstreams returns new values for the given numbers, as dynamic sources do.
func upstreams(numbers ...int) []*reverseproxy.Upstream {
	var all []*reverseproxy.Upstream
	for _, i := range numbers {
		all = append(all, &reverseproxy.Upstream{Dial: dial(i), Host: new(reverseproxy.Host)})
	}
	return all
}

// busy sets how many requests an upstream has in flight, which only Caddy can: the
// number is the first field of its Host.
func busy(u *reverseproxy.Upstream, requests int64) {
	(*atomic.Int64)(unsafe.Pointer(u.Host)).Store(requests)
}

// attempt lets the handler's transport make an attempt for the request.
func attempt(h *reverseproxy.Handler, r *http.Request, u *reverseproxy.Upstream) {
	if res, err := h.Transport.RoundTrip(directed(r, u)); err == nil {
		res.Body.Close()
	}
}

// roundTrip is an attempt that succeeds.
func roundTrip(t *testing.T, h *reverseproxy.Handler, r *http.Request, u *reverseproxy.Upstream) *http.Response {
	t.Helper()
	res, err := h.Transport.RoundTrip(directed(r, u))
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// directed returns the request as Caddy passes it to a transport.
func directed(r *http.Request, u *reverseproxy.Upstream) *http.Request {
	r.URL.Host = u.Dial
	ctx := context.WithValue(r.Context(), caddy.CtxKey("reverse_proxy.dial_info"), reverseproxy.DialInfo{Upstream: u, Address: u.Dial})
	return r.WithContext(context.WithValue(ctx, caddyhttp.ServerCtxKey, new(caddyhttp.Server)))
}

func TestRetryAvoidsAllThatWasTried(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		for _, dynamic := range []bool{false, true} {
			h := loadHandler(t, object{
				"load_balancing": object{"selection_policy": config},
				"transport":      object{"protocol": "refusing"},
				"upstreams":      []object{{"dial": dial(0)}, {"dial": dial(1)}, {"dial": dial(2)}},
			})
			pool := []*reverseproxy.Upstream(h.Upstreams)
			if dynamic {
				pool = upstreams(3, 4, 5)
			}
			for range 4 { // one less than failures eject for
				r := newRequest()
				tried := make(map[string]bool)
				for range 3 {
					u := h.LoadBalancing.SelectionPolicy.Select(pool, r, nil)
					if u == nil || tried[u.Dial] {
						t.Fatalf("tried %v, then picked %v", tried, u)
					}
					tried[u.Dial] = true
					attempt(h, r, u)
				}
				if pick(h, pool, r) == none {
					t.Error("all were tried: any may be tried again")
				}
			}
		}
	})
}

func TestRetrySame(t *testing.T) {
	h := loadHandler(t, object{
		"load_balancing": object{"selection_policy": object{
			"policy": "managed", "inner": object{"policy": "first"}, "retry_same": true,
		}},
		"transport": object{"protocol": "refusing"},
		"upstreams": []object{{"dial": dial(0)}, {"dial": dial(1)}},
	})
	r := newRequest()
	for range 3 {
		if got := pick(h, h.Upstreams, r); got != dial(0) {
			t.Fatalf("picked %s", got)
		}
		attempt(h, r, h.Upstreams[0])
	}
}

func TestRetriesDefaultToTwo(t *testing.T) {
	for name, test := range map[string]struct {
		lb   object
		want int
	}{
		"nothing set":     {object{}, 2},
		"lb_retries":      {object{"retries": 5}, 5},
		"lb_try_duration": {object{"try_duration": "1s"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := loadHandler(t, object{
				"load_balancing": with(test.lb, object{"selection_policy": object{"policy": "weighted_random"}}),
				"upstreams":      []object{{"dial": dial(0)}},
			})
			if got := h.LoadBalancing.Retries; got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

func TestRetriesOption(t *testing.T) {
	config := func(lb object, retries int) object {
		return object{
			"load_balancing": with(lb, object{"selection_policy": object{"policy": "peak_ewma", "retries": retries}}),
			"upstreams":      []object{{"dial": dial(0)}},
		}
	}
	for _, n := range []int{0, 1, 7} {
		if got := loadHandler(t, config(nil, n)).LoadBalancing.Retries; got != n {
			t.Errorf("got %d, want %d", got, n)
		}
	}
	if _, err := tryHandler(t, config(object{"retries": 3}, 2)); err == nil {
		t.Error("retries beside lb_retries was accepted")
	}
}
