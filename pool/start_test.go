package pool

import (
	"encoding/json"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/endpoint"
	"github.com/caddy-evenkeel/evenkeel/healthcheck"
)

// A check that is shared with the running configuration may flip while, or after,
// the start of the next one fails midway.
func TestAFlipDuringAStartThatFails(t *testing.T) {
	c, h := newConfigured(t), new(Handle)
	o := Options{HealthChecks: []*healthcheck.Check{{CheckerRaw: json.RawMessage(`{"type":"tcp"}`)}}}
	if err := h.Provision(c.ctx, &o, inOrder{}, Features{}); err != nil {
		t.Fatal(err)
	}
	for _, dial := range []string{"127.0.0.1:80", "127.0.0.2:80", "127.0.0.3:80-90"} {
		h.pool.statics = append(h.pool.statics, &reverseproxy.Upstream{Dial: dial, Host: new(reverseproxy.Host)})
	}
	if err := h.Start(); err == nil {
		t.Fatal("it started")
	}
	h.pool.changed()
	h.pool.builds.Wait()
	if h.pool.started() {
		t.Error("there is a snapshot")
	}
	before := endpoint.Count()
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	h.pool.memory.forget()
	if n := before - endpoint.Count(); n != 3 {
		t.Errorf("%d addresses were given back, want 3", n)
	}
}
