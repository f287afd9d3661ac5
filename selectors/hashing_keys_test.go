package selectors

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// contextWith returns the request's context with a value.
func contextWith(r *http.Request, key, value any) context.Context {
	return context.WithValue(r.Context(), key, value)
}

// met counts whom the requests meet.
func met(h *reverseproxy.Handler, n int, request func(i int) *http.Request) map[string]int {
	got := make(map[string]int)
	for i := range n {
		got[pooltest.Pick(h, h.Upstreams, request(i))]++
	}
	return got
}

// The same text meets the same upstream, other texts meet others, whatever else of
// a request there is.
func TestKeyIsAnyText(t *testing.T) {
	paths := func(i int) string { return fmt.Sprintf("/file%d", i) }
	for key, test := range map[string]struct{ same, other func(i int) *http.Request }{
		"{http.request.header.X-User}": {
			func(i int) *http.Request { return pooltest.ServerRequest(paths(i), "X-User", "u") },
			func(i int) *http.Request { return pooltest.ServerRequest("/", "X-User", paths(i)) },
		},
		"{http.request.uri.path.dir}": {
			func(i int) *http.Request { return pooltest.ServerRequest("/dir" + paths(i)) },
			func(i int) *http.Request { return pooltest.ServerRequest(paths(i) + "/file") },
		},
		"{http.request.uri.query.id}": {
			func(i int) *http.Request { return pooltest.ServerRequest(paths(i) + "?id=1") },
			func(i int) *http.Request { return pooltest.ServerRequest("/?id=" + fmt.Sprint(i)) },
		},
		"{http.request.cookie.id}": {
			func(i int) *http.Request { return pooltest.ServerRequest(paths(i), "Cookie", "id=1") },
			func(i int) *http.Request { return pooltest.ServerRequest("/", "Cookie", fmt.Sprint("id=", i)) },
		},
		"{http.vars.client_ip}": {
			func(i int) *http.Request { return pooltest.ServerRequest(paths(i)) },
			func(i int) *http.Request {
				r := pooltest.ServerRequest("/")
				caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, fmt.Sprint("192.0.2.", i))
				return r
			},
		},
		"{http.request.host}/{http.request.header.X-User}": {
			func(i int) *http.Request { return pooltest.ServerRequest("http://a"+paths(i), "X-User", "u") },
			func(i int) *http.Request {
				return pooltest.ServerRequest(fmt.Sprintf("http://a%d/", i/2), "X-User", fmt.Sprint(i%2))
			},
		},
	} {
		t.Run(key, func(t *testing.T) {
			forKeys(t, func(t *testing.T, config object) {
				h := pooltest.NewHandler(t, pooltest.With(config, object{"key": key}), 10)
				if got := met(h, 100, test.same); len(got) != 1 || got[pooltest.None] > 0 {
					t.Errorf("one key met %v", got)
				}
				if got := met(h, 200, test.other); len(got) < 8 || got[pooltest.None] > 0 {
					t.Errorf("200 keys met %v", got)
				}
			})
		})
	}
}

// Keys may have any size and content, and all of it counts.
func TestHugeAndBinaryKeys(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	binary := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return string(b)
	}
	huge := strings.Repeat("x", 4<<20)
	for name, keys := range map[string]func(i int) string{
		"last byte of megabytes":  func(i int) string { return huge + string(rune('a'+i)) },
		"first byte of megabytes": func(i int) string { return string(rune('a'+i)) + huge },
		"length":                  func(i int) string { return huge[:i+1] },
		"binary":                  func(int) string { return binary(33) },
		"zeros":                   func(i int) string { return strings.Repeat("\x00", i+1) },
		"no placeholder":          func(i int) string { return fmt.Sprintf("{%d}{http.request.header.X-User}", i) },
	} {
		t.Run(name, func(t *testing.T) {
			forKeys(t, func(t *testing.T, config object) {
				h := pooltest.NewHandler(t, config, 4)
				got := make(map[string]int)
				for i := range 26 {
					key := keys(i)
					home := pooltest.Pick(h, h.Upstreams, of(key))
					if again := pooltest.Pick(h, h.Upstreams, of(key)); again != home {
						t.Fatalf("key %d met %s, then %s", i, home, again)
					}
					got[home]++
				}
				if len(got) < 3 || got[pooltest.None] > 0 {
					t.Errorf("26 keys met %v", got)
				}
			})
		})
	}
}

// Who has no key is not sent where everybody else without one is.
func TestRequestsWithoutKeyAreSpread(t *testing.T) {
	for name, request := range map[string]func(int) *http.Request{
		"empty":       func(int) *http.Request { return of("") },
		"not there":   func(int) *http.Request { return pooltest.ServerRequest("/") },
		"no replacer": func(int) *http.Request { return httptest.NewRequest(http.MethodGet, "/", nil) },
	} {
		t.Run(name, func(t *testing.T) {
			forKeys(t, func(t *testing.T, config object) {
				h := pooltest.NewHandler(t, pooltest.With(config, object{"weights": object{pooltest.Dial(1): 0}}), 4)
				if got := met(h, 400, request); len(got) != 3 || got[pooltest.Dial(1)] > 0 || got[pooltest.None] > 0 {
					t.Errorf("met %v", got)
				}
			})
		})
	}
}

// A request may be asked for with nothing known of it.
func TestNoRequestAtAll(t *testing.T) {
	forKeys(t, func(t *testing.T, config object) {
		h := pooltest.NewHandler(t, pooltest.With(config, object{"balance_factor": 125}), 4)
		if h.LoadBalancing.SelectionPolicy.Select(h.Upstreams, nil, nil) == nil {
			t.Error("nothing picked")
		}
	})
}

func TestFallbackServesRequestsWithoutKey(t *testing.T) {
	bySession := object{"policy": "maglev", "key": "{http.request.header.X-Session}"}
	for name, test := range map[string]struct {
		fallback object
		header   func(i int) string // X-Session
		homes    int
	}{
		"Caddy's":                       {object{"policy": "first"}, func(int) string { return "" }, 1},
		"by another key":                {bySession, func(int) string { return "s" }, 1},
		"by other keys":                 {bySession, func(i int) string { return fmt.Sprint(i) }, 6},
		"by another key, neither there": {bySession, func(int) string { return "" }, 6},
	} {
		t.Run(name, func(t *testing.T) {
			forKeys(t, func(t *testing.T, config object) {
				h := pooltest.NewHandler(t, pooltest.With(config, object{"fallback": nil}), 6)
				home := pooltest.Pick(h, h.Upstreams, user(1))
				// Not by with, which takes a fallback for the policy meant.
				config = pooltest.With(config, nil)
				config["fallback"] = test.fallback
				h = pooltest.NewHandler(t, config, 6)
				got := met(h, 300, func(i int) *http.Request { return pooltest.ServerRequest("/", "X-Session", test.header(i)) })
				if len(got) != test.homes || got[pooltest.None] > 0 {
					t.Errorf("met %v, want %d", got, test.homes)
				}
				if got := pooltest.Pick(h, h.Upstreams, user(1)); got != home {
					t.Errorf("one with a key met %s, not %s", got, home)
				}
			})
		})
	}
}

// Fallbacks get no more than the eligible: here one is down, one full, one has
// weight 0.
func TestFallbackGetsTheEligibleOnly(t *testing.T) {
	for _, fallback := range []object{{"policy": "random"}, {"policy": "least_request"}, {"policy": "ip_hash"}} {
		t.Run(fallback["policy"].(string), func(t *testing.T) {
			forKeys(t, func(t *testing.T, config object) {
				config = pooltest.With(config, pooltest.With(pooltest.Checked, object{"weights": object{pooltest.Dial(2): 0}}))
				config["fallback"] = fallback
				h := pooltest.NewHandler(t, config, 4)
				pooltest.SetDown(pooltest.Dial(0))
				h.Upstreams[1].MaxRequests = 1
				pooltest.SetActive(h.Upstreams[1], 1)
				defer pooltest.SetActive(h.Upstreams[1], 0)
				for _, request := range []*http.Request{of(""), of("a")} {
					if got := pooltest.Pick(h, h.Upstreams, request); got != pooltest.Dial(3) {
						t.Errorf("picked %s", got)
					}
				}
			})
		})
	}
}
