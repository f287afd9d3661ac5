package admin

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/caddy-evenkeel/evenkeel/internal/orders"
)

// What the API costs with 10,000 upstreams, without orders and with one for each of 1,000.
func BenchmarkTenThousandUpstreams(b *testing.B) {
	var list strings.Builder
	address := func(i int) string { return fmt.Sprintf("10.%d.%d.%d:80", i/62500, i/250%250, i%250+1) }
	for i := range 10_000 {
		list.WriteString(" " + address(i))
	}
	load := func(text string) {
		config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
		if err == nil {
			err = caddy.Load(config, true)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	load(strings.Replace(config, "10.0.0.1:80 10.0.0.2:80", list.String(), 1))
	defer load(config)
	bench := func(name, method, path, body string) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r, w := httptest.NewRequest(method, path, strings.NewReader(body)), httptest.NewRecorder()
				r.Header.Set("Content-Type", "application/json")
				if err := serve(w, r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	all := func() {
		bench("GET upstreams", "GET", "/load_balancer/upstreams", "")
		bench("GET one", "GET", "/load_balancer/upstreams/"+address(9000), "")
		bench("GET orders", "GET", "/load_balancer/orders", "")
		bench("PATCH", "PATCH", "/load_balancer/upstreams/"+address(9000), `{"state": "drain"}`)
	}
	all()
	for i := range 1000 {
		if _, err := orders.Default.Change(context.Background(), "", address(i), "", func(o *orders.Order) error { o.State = orders.Drain; return nil }); err != nil {
			b.Fatal(err)
		}
	}
	all()
	for _, o := range orders.Default.List() {
		if _, err := orders.Default.Change(context.Background(), o.Pool, o.Address, "", withdraw); err != nil {
			b.Fatal(err)
		}
	}
}
