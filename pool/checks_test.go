package pool

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
	"github.com/caddy-evenkeel/evenkeel/internal/app"
)

func init() { caddy.RegisterModule(new(stubborn)) }

// stubborn is a checker that does not end with its context.
type stubborn struct{}

func (*stubborn) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: healthcheck.Namespace + ".stubborn", New: func() caddy.Module { return new(stubborn) }}
}

func (*stubborn) Check(ctx context.Context, _ healthcheck.Target) error {
	<-ctx.Done()
	time.Sleep(30 * time.Second)
	return ctx.Err()
}

// configured is one configuration with pools that have all that a handler's has.
type configured struct {
	t   *testing.T
	ctx caddy.Context
	app *app.App
}

func newConfigured(t *testing.T) *configured {
	t.Helper()
	ctx, err := caddy.ProvisionContext(&caddy.Config{Logging: &caddy.Logging{}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(ctx)
	t.Cleanup(cancel)
	a, err := app.Of(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return &configured{t, ctx, a}
}

// pool adds a pool of dynamic upstreams.
func (c *configured) pool(o Options) *Handle {
	c.t.Helper()
	h := new(Handle)
	if err := h.Provision(c.ctx, &o, inOrder{}, Features{}); err != nil {
		c.t.Fatal(err)
	}
	if err := h.pool.loadApps(c.ctx); err != nil {
		c.t.Fatal(err)
	}
	if err := h.Start(); err != nil {
		c.t.Fatal(err)
	}
	return h
}

func (c *configured) start() {
	c.t.Helper()
	if err := c.app.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { c.app.Stop() })
}

func TestClosingChecksOfGoneAddressesHoldsUpNoRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConfigured(t)
		h := c.pool(Options{HealthChecks: []*healthcheck.Check{{
			CheckerRaw: json.RawMessage(`{"type":"stubborn"}`),
			Interval:   caddy.Duration(24 * time.Hour),
			Timeout:    caddy.Duration(24 * time.Hour),
		}}})
		c.start()
		pick := func(address string) {
			began := time.Now()
			if h.Select(reverseproxy.UpstreamPool{{Dial: address, Host: new(reverseproxy.Host)}}, nil, nil) == nil {
				t.Errorf("%s was not picked", address)
			}
			if waited := time.Since(began); waited > 0 {
				t.Errorf("a request waited %v", waited)
			}
		}
		pick("gone.test:80")
		for range 10 {
			time.Sleep(time.Minute)
			pick("here.test:80")
		}
		pick("new.test:80") // ends the checks of the first
		if n := h.pool.dynamic.count; n != 2 {
			t.Errorf("%d addresses are known, want 2", n)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute) // for the bubble to end, the checkers must
	})
}

// listener is a function that listens to events.
type listener func(caddy.Event)

// Handle implements [caddyevents.Handler].
func (l listener) Handle(_ context.Context, event caddy.Event) error {
	l(event)
	return nil
}

func TestReloadOfManyPoolsWaitsOnceForSlowListeners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConfigured(t)
		events, err := c.ctx.App("events")
		if err != nil {
			t.Fatal(err)
		}
		finish := make(chan struct{})
		if err := events.(*caddyevents.App).On("ejected", listener(func(caddy.Event) { <-finish })); err != nil {
			t.Fatal(err)
		}
		var pools []*Handle
		for range 100 {
			pools = append(pools, c.pool(Options{}))
		}
		c.start()
		for _, h := range pools {
			h.pool.emit("ejected", nil)
		}
		synctest.Wait()
		began := time.Now()
		for _, h := range pools {
			if err := h.Close(); err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("closing took %v", took)
		}
		close(finish)
	})
}

func TestEventsOfAPoolComeInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConfigured(t)
		events, err := c.ctx.App("events")
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var heard []string
		if err := events.(*caddyevents.App).On("", listener(func(e caddy.Event) {
			time.Sleep(time.Second)
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, e.Name())
		})); err != nil {
			t.Fatal(err)
		}
		h := c.pool(Options{})
		h.pool.emit("first", nil) // before the start
		c.start()
		for _, name := range []string{"second", "third"} {
			h.pool.emit(name, nil)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		if !slices.Equal(heard, []string{"first", "second", "third"}) {
			t.Errorf("heard %v", heard)
		}
	})
}
