package healthcheck

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-evenkeel/evenkeel/internal/app"
	"github.com/caddy-evenkeel/evenkeel/internal/eventqueue"
)

func init() { caddy.RegisterModule(new(scripted)) }

// scripted is a checker that does as the test says.
type scripted struct {
	check func(context.Context, Target) error
}

func (*scripted) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: Namespace + ".scripted", New: func() caddy.Module { return new(scripted) }}
}

func (s *scripted) Check(ctx context.Context, t Target) error { return s.check(ctx, t) }

// config is one configuration with a check.
type config struct {
	t     *testing.T
	check *Check
	own   []*Watch
}

// newConfig provisions a check, given as JSON, whose probes call probe.
func newConfig(t *testing.T, options string, probe func(context.Context, Target) error) *config {
	t.Helper()
	ctx := configContext(t, `{}`)
	check := &Check{CheckerRaw: json.RawMessage(`{"type":"scripted"}`), Name: "test"}
	if err := json.Unmarshal([]byte(options), check); err != nil {
		t.Fatal(err)
	}
	if err := check.Provision(ctx, nil, newGroup(t, ctx)); err != nil {
		t.Fatal(err)
	}
	check.checker = &scripted{probe}
	c := &config{t: t, check: check}
	t.Cleanup(func() {
		c.close()
		monitor.mu.Lock()
		defer monitor.mu.Unlock()
		clear(monitor.remembered) // the next test's clock begins anew
	})
	return c
}

// configContext returns the context of a configuration with the given apps.
func configContext(t testing.TB, apps string) caddy.Context {
	t.Helper()
	config := &caddy.Config{Logging: quiet()}
	if err := json.Unmarshal([]byte(apps), &config.AppsRaw); err != nil {
		t.Fatal(err)
	}
	ctx, err := caddy.ProvisionContext(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(ctx)
	t.Cleanup(cancel)
	return ctx
}

// newGroup returns the group of a pool of the configuration.
func newGroup(t testing.TB, ctx caddy.Context) *Group {
	t.Helper()
	a, err := app.Of(ctx)
	if err != nil {
		t.Fatal(err)
	}
	events := eventqueue.NewEvents(ctx.Logger())
	a.AtStart(events.Release)
	return NewGroup(a, events)
}

func quiet() *caddy.Logging {
	var l caddy.Logging
	if err := json.Unmarshal([]byte(`{"logs":{"default":{"writer":{"output":"discard"}}}}`), &l); err != nil {
		panic(err)
	}
	return &l
}

func address(i int) string { return fmt.Sprintf("10.0.%d.%d:80", i/256, i%256) }

// watch watches the first n addresses, and calls notify upon flips.
func (c *config) watch(n int, notify func()) *config {
	c.t.Helper()
	if notify == nil {
		notify = func() {}
	}
	for i := range n {
		w, err := c.check.Watch(address(i), notify, nil)
		if err != nil {
			c.t.Fatal(err)
		}
		c.own = append(c.own, w)
	}
	return c
}

func (c *config) start() *config {
	a := c.check.group.configuration.app
	if err := a.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { a.Stop() })
	return c
}

func (c *config) close() {
	until := c.check.group.configuration.app.CloseBy()
	Close(until, c.own...)
	c.check.group.events.Close(until)
	if err := c.check.Close(); err != nil {
		c.t.Error(err)
	}
}

func (c *config) verdict() Verdict { return c.own[0].State().Verdict }

// recorder records probes.
type recorder struct {
	mu      sync.Mutex
	times   map[string][]time.Time
	running map[string]bool
	atOnce  int
	most    int // at once
	takes   time.Duration
	err     error
}

func newRecorder() *recorder {
	return &recorder{times: make(map[string][]time.Time), running: make(map[string]bool)}
}

func (r *recorder) probe(ctx context.Context, t Target) error {
	r.mu.Lock()
	r.times[t.Upstream] = append(r.times[t.Upstream], time.Now())
	if r.running[t.Upstream] {
		panic("two probes of one upstream at once")
	}
	r.running[t.Upstream] = true
	r.atOnce++
	r.most = max(r.most, r.atOnce)
	takes, err := r.takes, r.err
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.running[t.Upstream] = false
		r.atOnce--
		r.mu.Unlock()
	}()
	if takes > 0 {
		select {
		case <-time.After(takes):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

func (r *recorder) set(takes time.Duration, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.takes, r.err = takes, err
}

func (r *recorder) count() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, times := range r.times {
		n += len(times)
	}
	return n
}

// sleep lets the bubble's time pass.
func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
