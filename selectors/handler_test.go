package selectors

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

type object = map[string]any

// newHandler provisions a reverse_proxy with the given policy and n upstreams,
// those that dial returns.
func newHandler(tb testing.TB, policy object, n int) *reverseproxy.Handler {
	tb.Helper()
	return loadHandler(tb, object{
		"load_balancing": object{"selection_policy": policy},
		"upstreams":      dials(n),
	})
}

// dials returns the first n upstreams as a configuration has them.
func dials(n int) []object {
	upstreams := make([]object, n)
	for i := range upstreams {
		upstreams[i] = object{"dial": dial(i)}
	}
	return upstreams
}

// first is the number of a test's first address.
var first int

// isolate gives a test addresses of its own, for what is known of an address
// outlives a test.
func isolate() { first = (first + 10_100) % (1 << 24) }

// dial returns the address of the i-th upstream.
func dial(i int) string { return host(i) + ":80" }

func host(i int) string {
	n := (first + i) % (1 << 24)
	return fmt.Sprintf("10.%d.%d.%d", n>>16, n>>8&0xff, n&0xff)
}

func loadHandler(tb testing.TB, config object) *reverseproxy.Handler {
	tb.Helper()
	h, err := tryHandler(tb, config)
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

// tryHandler provisions a reverse_proxy and starts the app load_balancer.
func tryHandler(tb testing.TB, config object) (*reverseproxy.Handler, error) {
	tb.Helper()
	ctx, err := caddy.ProvisionContext(&caddy.Config{Logging: quiet()})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(ctx)
	tb.Cleanup(func() {
		cancel()
		board.Lock()
		defer board.Unlock()
		clear(board.down)
	})
	raw, err := json.Marshal(config)
	if err != nil {
		tb.Fatal(err)
	}
	mod, err := ctx.LoadModuleByID("http.handlers.reverse_proxy", raw)
	if err != nil {
		return nil, err
	}
	app, err := ctx.App("load_balancer")
	if err != nil {
		tb.Fatal(err)
	}
	if err := app.(caddy.App).Start(); err != nil {
		tb.Fatal(err)
	}
	return mod.(*reverseproxy.Handler), nil
}

// quiet is a logging configuration that logs nothing.
func quiet() *caddy.Logging {
	var l caddy.Logging
	if err := json.Unmarshal([]byte(`{"logs":{"default":{"writer":{"output":"discard"}}}}`), &l); err != nil {
		panic(err)
	}
	return &l
}

// ending returns the request with an end.
func ending(r *http.Request) (*http.Request, context.CancelFunc) {
	ctx, end := context.WithCancel(r.Context())
	return r.WithContext(ctx), end
}

// newRequest returns a request as Caddy passes it to a policy. Tests send many, so it
// is not parsed each time.
func newRequest() *http.Request {
	ctx := context.WithValue(context.Background(), caddy.ReplacerCtxKey, caddy.NewReplacer())
	ctx = context.WithValue(ctx, caddyhttp.VarsCtxKey, make(map[string]any))
	r := parsed.WithContext(ctx)
	r.Header = make(http.Header)
	r.URL = &url.URL{Path: "/"}
	return r
}

var parsed = httptest.NewRequest(http.MethodGet, "/", nil)
