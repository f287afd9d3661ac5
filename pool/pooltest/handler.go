// Package pooltest has what tests of pools and of policies share: it provisions
// reverse_proxy handlers whose upstreams and checks do as a test says, and picks and
// serves requests as Caddy does. It is imported by tests only.
package pooltest

import (
	"encoding/json"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // the handler and what it loads
)

// Object is a JSON object of a configuration.
type Object = map[string]any

// With returns a copy of a policy's configuration with options added. Where the
// policy has a fallback, that gets them.
func With(config Object, options Object) Object {
	if inner, ok := config["fallback"].(Object); ok {
		return With(Object{"policy": config["policy"], "field": config["field"], "key": config["key"]},
			Object{"fallback": With(inner, options)})
	}
	merged := Object{}
	for _, from := range []Object{config, options} {
		for k, v := range from {
			if v != nil {
				merged[k] = v
			}
		}
	}
	return merged
}

// NewHandler provisions a reverse_proxy with the given policy and n upstreams, those
// that [Dial] returns.
func NewHandler(tb testing.TB, policy Object, n int) *reverseproxy.Handler {
	tb.Helper()
	return LoadHandler(tb, Object{
		"load_balancing": Object{"selection_policy": policy},
		"upstreams":      Dials(n),
	})
}

// NewScripted provisions a handler whose n upstreams do as the test says, see
// [Script], and have the given options.
func NewScripted(tb testing.TB, policy Object, n int, options ...Object) *reverseproxy.Handler {
	tb.Helper()
	tb.Cleanup(forgetScripts)
	upstreams := Dials(n)
	for i := range upstreams {
		for _, o := range options {
			upstreams[i] = With(upstreams[i], o)
		}
	}
	return LoadHandler(tb, Object{
		"load_balancing": Object{"selection_policy": policy},
		"transport":      Object{"protocol": "scripted"},
		"upstreams":      upstreams,
	})
}

// LoadHandler provisions a reverse_proxy and starts the app load_balancer.
func LoadHandler(tb testing.TB, config Object) *reverseproxy.Handler {
	tb.Helper()
	h, err := TryHandler(tb, config)
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

// TryHandler is [LoadHandler] for a configuration that may be rejected.
func TryHandler(tb testing.TB, config Object) (*reverseproxy.Handler, error) {
	tb.Helper()
	ctx := newContext(tb)
	h, err := load(tb, ctx, config)
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
	tb.Cleanup(func() { app.(caddy.App).Stop() })
	return h, nil
}

// LoadHandlers provisions several handlers of one configuration. It starts no app.
func LoadHandlers(tb testing.TB, configs ...Object) (handlers []*reverseproxy.Handler) {
	tb.Helper()
	ctx := newContext(tb)
	for _, config := range configs {
		h, err := load(tb, ctx, config)
		if err != nil {
			tb.Fatal(err)
		}
		handlers = append(handlers, h)
	}
	return handlers
}

// newContext returns the context of a configuration, which ends with the test.
func newContext(tb testing.TB) caddy.Context {
	tb.Helper()
	ctx, err := caddy.ProvisionContext(&caddy.Config{Logging: quiet()})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(ctx)
	tb.Cleanup(func() {
		cancel()
		SwitchOff()
	})
	return ctx
}

func load(tb testing.TB, ctx caddy.Context, config Object) (*reverseproxy.Handler, error) {
	tb.Helper()
	raw, err := json.Marshal(config)
	if err != nil {
		tb.Fatal(err)
	}
	mod, err := ctx.LoadModuleByID("http.handlers.reverse_proxy", raw)
	if err != nil {
		return nil, err
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
