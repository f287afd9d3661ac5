package selectors

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// discard is a response that is thrown away.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

// BenchmarkProxy compares the whole way of a request through reverse_proxy, to
// four real backends that answer at once, with that under Caddy's random. The
// two take turns, a few requests each, so that a machine whose speed changes
// does not change the ratio:
//
//	go test -run '^$' -bench Proxy -benchtime 20000x -count 5 ./selectors
func BenchmarkProxy(b *testing.B) {
	var upstreams []object
	for range 4 {
		backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "hello")
		}))
		b.Cleanup(backend.Close)
		upstreams = append(upstreams, object{"dial": backend.Listener.Addr().String()})
	}
	load := func(b *testing.B, policy string) *reverseproxy.Handler {
		return pooltest.LoadHandler(b, object{
			"load_balancing": object{"selection_policy": object{"policy": policy}},
			"upstreams":      upstreams,
		})
	}
	for _, policy := range []string{"smooth_weighted_round_robin", "weighted_random", "least_request", "peak_ewma"} {
		b.Run("policy="+policy, func(b *testing.B) {
			handlers := [2]*reverseproxy.Handler{load(b, policy), load(b, "random")}
			var took [2]time.Duration
			const turn = 20
			for n := 0; b.Loop(); n++ {
				which := n / turn % 2
				r := proxyRequest()
				began := time.Now()
				if err := handlers[which].ServeHTTP(&discard{make(http.Header)}, r, nil); err != nil {
					b.Fatal(err)
				}
				took[which] += time.Since(began)
			}
			if b.N > 2*turn {
				b.ReportMetric(float64(took[0])/float64(took[1]), "times-random")
			}
		})
	}
}

// proxyRequest returns a request as Caddy's server passes it to a handler.
func proxyRequest() *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	ctx := context.WithValue(r.Context(), caddy.ReplacerCtxKey, caddy.NewReplacer())
	ctx = context.WithValue(ctx, caddyhttp.ServerCtxKey, new(caddyhttp.Server))
	ctx = context.WithValue(ctx, caddyhttp.VarsCtxKey, map[string]any{
		caddyhttp.ClientIPVarKey: "127.0.0.1", caddyhttp.TrustedProxyVarKey: false,
	})
	return r.WithContext(ctx)
}
