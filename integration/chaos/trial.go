package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-evenkeel/evenkeel"
)

const (
	numBackends = 8
	// Backends that are at fault at the same time: one less than a GET has attempts.
	numFaulty = 2
	// A client waits no longer. Backends rest for longer than that between two times
	// of faults, so that no request meets more than numFaulty of them.
	patience = 4 * time.Second
	rest     = patience + time.Second
)

// trial is one run: its Caddy, its backends, and what has been seen.
type trial struct {
	addr, admin, storage string
	backends             []*backend
	agents               net.Listener // for all backends, on any address
	client               *http.Client
	tally
}

// newTrial starts backends and an idle Caddy.
func newTrial() (*trial, error) {
	storage, err := os.MkdirTemp("", "evenkeel-chaos-")
	if err != nil {
		return nil, err
	}
	t := &trial{
		addr: freeAddr(), admin: freeAddr(), storage: storage,
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100, DisableCompression: true}},
	}
	for i := range numBackends {
		b, err := newBackend(i, &t.tally)
		if err != nil {
			return nil, err
		}
		t.backends = append(t.backends, b)
	}
	if t.agents, err = net.Listen("tcp", ":0"); err != nil {
		return nil, err
	}
	go t.speak()
	config, err := t.adapt(idle)
	if err != nil {
		return nil, err
	}
	return t, caddy.Load(config, true)
}

// freeAddr returns an address that nobody listens on.
func freeAddr() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// run makes a first round, then another one for the rest of the time, and compares
// what is held after either. It stops Caddy in the end.
func (t *trial) run(d time.Duration) error {
	defer os.RemoveAll(t.storage)
	defer caddy.Stop()
	defer t.agents.Close()
	first := min(d/3, 20*time.Second)
	if err := t.round(first); err != nil {
		return err
	}
	warm := settled(10, func(resources) bool { return false })
	if err := t.round(d - first); err != nil {
		return err
	}
	after := settled(60, warm.covers)
	t.note("held after the first round: "+warm.String(), 1)
	t.note("held in the end: "+after.String(), 1)
	if !warm.covers(after) {
		t.blame("more is held than after the first round; goroutines:\n%.20000s", stacks())
	}
	if text := logged.panics(); text != "" {
		t.blame("a panic is in the log: %s", text)
	}
	return t.verdict()
}

// round has everything happen for the given time, and Caddy idle again then.
func (t *trial) round(d time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	sites := newSites(t.backends, t.agents.Addr().(*net.TCPAddr).Port)
	change(t.backends)
	if err := t.reload(render(sites)); err != nil {
		return err
	}
	var parts sync.WaitGroup
	parts.Go(func() { t.faults(ctx) })
	parts.Go(func() { t.reloads(ctx, sites) })
	parts.Go(func() { churn(ctx, t.backends) })
	for _, s := range sites {
		t.visit(ctx, &parts, s)
	}
	parts.Wait()
	t.client.CloseIdleConnections()
	return t.reload(idle)
}

// reloads has new options each second.
func (t *trial) reloads(ctx context.Context, sites []*site) {
	every(ctx, time.Second, func() {
		text := render(sites)
		if err := t.reload(text); err != nil {
			t.blame("a reload is refused: %v\n%s", err, text)
		}
		t.note("reloads", 1)
	})
}

// every calls f at that distance until the context ends.
func every(ctx context.Context, d time.Duration, f func()) {
	ticker := time.NewTicker(d)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			f()
		}
	}
}

// pause waits, but not longer than the context lasts.
func pause(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-ctx.Done()
}

// reload loads a configuration through the admin API.
func (t *trial) reload(site string) error {
	config, err := t.adapt(site)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(http.MethodPost, "http://"+t.admin+"/load", bytes.NewReader(config))
	if err != nil {
		return err
	}
	req.Close = true
	req.Header.Set("Content-Type", "application/json")
	res, err := t.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
		return errors.New(string(text))
	}
	return nil
}

const idle = "respond idle"

// adapt returns the JSON of a site with the trial's global options.
func (t *trial) adapt(site string) ([]byte, error) {
	_, port, _ := net.SplitHostPort(t.addr)
	text := fmt.Sprintf(`{
	admin %s
	persist_config off
	auto_https off
	grace_period 1s
	metrics
	storage file_system %s
	log {
		output chaos
		format json
	}
	load_balancer {
		allow_exec
		dynamic_expiry 1s
	}
}
http://:%s {
	bind 127.0.0.1
	%s
}
`, t.admin, t.storage, port, site)
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return nil, fmt.Errorf("adapting: %w\n%s", err, text)
	}
	return config, nil
}
