package admin

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-evenkeel/evenkeel/internal/orders"
	"github.com/caddy-evenkeel/evenkeel/pool"
)

func TestPathsAndMethods(t *testing.T) {
	const patch = `{"state": "drain"}`
	for _, c := range []struct {
		method, path, body string
		status             int
		text               string
	}{
		{"GET", "/load_balancer/upstreams", "", 200, `"address":"10.0.0.1:80"`},
		{"GET", "/load_balancer/upstreams/", "", 200, `"address":"10.0.0.2:80"`},
		{"GET", "/load_balancer/pools", "", 200, `"name":"two"`},
		{"GET", "/load_balancer/pools/one", "", 200, `"weighted":true`},
		{"GET", "/load_balancer/orders", "", 200, "[]"},
		{"GET", "/load_balancer/", "", 404, "there are upstreams, pools, rosters, orders, events"},
		{"GET", "/load_balancer/melt", "", 404, "melt"},
		{"GET", "/load_balancer/pools/three", "", 404, "no pool 'three'"},
		{"GET", "/load_balancer/pools/one/two", "", 404, ""},
		{"GET", "/load_balancer/upstreams/10.0.0.3:80", "", 404, "no pool has the upstream '10.0.0.3:80'"},
		{"PATCH", "/load_balancer/upstreams/10.0.0.3:80", patch, 404, "10.0.0.3:80"},
		{"DELETE", "/load_balancer/upstreams/10.0.0.3:80", "", 404, "10.0.0.3:80"},
		{"PATCH", "/load_balancer/pools/three", `{"state": "paused"}`, 404, "three"},
		{"POST", "/load_balancer/upstreams/10.0.0.3:80/check", "", 404, "10.0.0.3:80"},
		{"POST", "/load_balancer/upstreams/10.0.0.1:80/check", "", 409, "no health check"},
		{"POST", "/load_balancer/upstreams/10.0.0.1:80/check?pool=three", "", 404, ""},
		// Addresses as a segment and as a parameter.
		{"GET", "/load_balancer/upstreams/unix%2F%2Frun%2Fapp.sock", "", 200, "unix//run/app.sock"},
		{"GET", "/load_balancer/upstreams/unix//run/app.sock", "", 404, ""},
		{"GET", "/load_balancer/upstreams/%5B2001:db8::1%5D:8080", "", 200, "[2001:db8::1]:8080"},
		{"GET", "/load_balancer/upstreams/[2001:db8::1]:8080", "", 200, "[2001:db8::1]:8080"},
		{"GET", "/load_balancer/upstreams?address=unix//run/app.sock", "", 200, "unix//run/app.sock"},
		{"GET", "/load_balancer/upstreams?address=%5B2001:db8::1%5D:8080", "", 200, "[2001:db8::1]:8080"},
		{"GET", "/load_balancer/upstreams?address=10.0.0.3:80", "", 404, "10.0.0.3:80"},
		{"GET", "/load_balancer/upstreams/10.0.0.9:80", "", 200, "EVENKEEL_TEST_UPSTREAM"},
		{"GET", "/load_balancer/upstreams/%7Benv.EVENKEEL_TEST_UPSTREAM%7D:80", "", 200, `"dialled":"10.0.0.9:80"`},
		{"POST", "/load_balancer/upstreams/check?address=10.0.0.1:80", "", 409, ""},
		{"GET", "/load_balancer/upstreams/%zz", "", 400, ""},
		{"GET", "/load_balancer/upstreams/..", "", 400, "two dots"},
		{"GET", "/load_balancer/upstreams/%2e%2e", "", 400, "two dots"},
		{"GET", "/load_balancer/upstreams/x%2F..%2F..%2Fconfig", "", 400, "two dots"},
		{"GET", "/load_balancer/../config/", "", 400, "two dots"},
		// Filters.
		{"GET", "/load_balancer/upstreams?pool=three", "", 404, "no pool 'three'"},
		{"GET", "/load_balancer/upstreams?state=melted", "", 400, "up, slow_start"},
		{"GET", "/load_balancer/upstreams?melt=1", "", 400, "pool, state, address"},
		{"GET", "/load_balancer/upstreams?state=ejected", "", 200, "[]"},
		// Methods.
		{"POST", "/load_balancer/upstreams", "", 405, "allowed: GET"},
		{"PUT", "/load_balancer/upstreams/10.0.0.1:80", "", 405, "allowed: DELETE, GET, PATCH"},
		{"POST", "/load_balancer/pools/one", "", 405, "allowed: DELETE, GET, PATCH"},
		{"GET", "/load_balancer/upstreams/10.0.0.1:80/check", "", 405, "allowed: POST"},
		{"DELETE", "/load_balancer/orders", "", 405, "allowed: GET"},
		{"PATCH", "/load_balancer/events", "", 405, "allowed: GET"},
	} {
		r, err := http.NewRequest(c.method, "http://localhost"+c.path, strings.NewReader(c.body))
		if err != nil {
			if c.status != 400 {
				t.Errorf("%s: %v", c.path, err)
			}
			continue // the server refuses it likewise
		}
		r.Header.Set("Content-Type", "application/json")
		a := serveAs(t, r)
		if a.Code != c.status || !strings.Contains(a.Body.String(), c.text) {
			t.Errorf("%s %s: got %d %s, want %d %s", c.method, c.path, a.Code, a.Body, c.status, c.text)
		}
		if allow := a.Header().Get("Allow"); c.status == 405 && !strings.HasSuffix(c.text, allow) || c.status != 405 && allow != "" {
			t.Errorf("%s %s: Allow: %s", c.method, c.path, allow)
		}
		if kind := a.Header().Get("Content-Type"); c.status == 200 && kind != "application/json" {
			t.Errorf("%s %s: content type %s", c.method, c.path, kind)
		}
	}
	if n := len(orders.Default.List()); n > 0 {
		t.Errorf("%d orders", n)
	}
}

func TestFilters(t *testing.T) {
	withoutOrders(t)
	ask(t, "PATCH", "/load_balancer/upstreams/10.0.0.1:80", `{"state": "drain"}`).expect(t, 200, "")
	for query, want := range map[string]int{
		"":                                    7,
		"?pool=one":                           5,
		"?pool=one&pool=two":                  7,
		"?state=draining":                     2,
		"?state=draining&state=up":            7,
		"?state=draining&pool=two":            1,
		"?address=10.0.0.1:80":                2,
		"?address=%7Bhttp.request.host%7D:81": 1,
	} {
		got := decode[[]pool.UpstreamView](t, ask(t, "GET", "/load_balancer/upstreams"+query, ""))
		if len(got) != want {
			t.Errorf("%s: %d upstreams, want %d", query, len(got), want)
		}
	}
}
