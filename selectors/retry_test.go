package selectors

import (
	"errors"
	"net/http"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
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

func TestRetryAvoidsAllThatWasTried(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		for _, dynamic := range []bool{false, true} {
			h := pooltest.LoadHandler(t, object{
				"load_balancing": object{"selection_policy": config},
				"transport":      object{"protocol": "refusing"},
				"upstreams":      []object{{"dial": pooltest.Dial(0)}, {"dial": pooltest.Dial(1)}, {"dial": pooltest.Dial(2)}},
			})
			pool := []*reverseproxy.Upstream(h.Upstreams)
			if dynamic {
				pool = pooltest.Upstreams(3, 4, 5)
			}
			for range 4 { // one less than failures eject for
				r := pooltest.NewRequest()
				tried := make(map[string]bool)
				for range 3 {
					u := h.LoadBalancing.SelectionPolicy.Select(pool, r, nil)
					if u == nil || tried[u.Dial] {
						t.Fatalf("tried %v, then picked %v", tried, u)
					}
					tried[u.Dial] = true
					pooltest.Attempt(h, r, u)
				}
				if pooltest.Pick(h, pool, r) == pooltest.None {
					t.Error("all were tried: any may be tried again")
				}
			}
		}
	})
}

func TestRetrySame(t *testing.T) {
	h := pooltest.LoadHandler(t, object{
		"load_balancing": object{"selection_policy": object{
			"policy": "managed", "inner": object{"policy": "first"}, "retry_same": true,
		}},
		"transport": object{"protocol": "refusing"},
		"upstreams": []object{{"dial": pooltest.Dial(0)}, {"dial": pooltest.Dial(1)}},
	})
	r := pooltest.NewRequest()
	for range 3 {
		if got := pooltest.Pick(h, h.Upstreams, r); got != pooltest.Dial(0) {
			t.Fatalf("picked %s", got)
		}
		pooltest.Attempt(h, r, h.Upstreams[0])
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
			h := pooltest.LoadHandler(t, object{
				"load_balancing": pooltest.With(test.lb, object{"selection_policy": object{"policy": "weighted_random"}}),
				"upstreams":      []object{{"dial": pooltest.Dial(0)}},
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
			"load_balancing": pooltest.With(lb, object{"selection_policy": object{"policy": "peak_ewma", "retries": retries}}),
			"upstreams":      []object{{"dial": pooltest.Dial(0)}},
		}
	}
	for _, n := range []int{0, 1, 7} {
		if got := pooltest.LoadHandler(t, config(nil, n)).LoadBalancing.Retries; got != n {
			t.Errorf("got %d, want %d", got, n)
		}
	}
	if _, err := pooltest.TryHandler(t, config(object{"retries": 3}, 2)); err == nil {
		t.Error("retries beside lb_retries was accepted")
	}
}
