package admin

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-evenkeel/evenkeel/internal/orders"
	"github.com/caddy-evenkeel/evenkeel/pool"
)

const x = "/load_balancer/upstreams/10.0.0.1:80"

func TestBadOrders(t *testing.T) {
	withoutOrders(t)
	for _, c := range []struct {
		path, body string
		status     int
		text       string
	}{
		{x, "", 400, "decoding the body"},
		{x, "null", 400, "orders nothing"},
		{x, "{}", 400, "orders nothing"},
		{x, `{"pool": "one"}`, 400, "orders nothing"},
		{x, `{"state": null}`, 400, "orders nothing"},
		{x, "[]", 400, "decoding the body"},
		{x, `"drain"`, 400, "decoding the body"},
		{x, `{"state": "drain"`, 400, "decoding the body"},
		{x, `{"state": "drain"} {}`, 400, "more than one value"},
		{x, `{"state": "drain"} x`, 400, "more than one value"},
		{x, `{"stat": "drain"}`, 400, `unknown field`},
		{x, `{"state": "drain", "address": "y"}`, 400, `unknown field`},
		{x, `{"state": ""}`, 400, "state: it is empty"},
		{x, `{"state": 1}`, 400, "decoding the body"},
		{x, `{"state": "paused"}`, 400, "there are ready, drain, maintenance"},
		{x, `{"state": "melt"}`, 400, "there are ready, drain, maintenance"},
		{x, `{"weight": -1}`, 400, "-1 is not between 0 and"},
		{x, `{"weight": 2147483648}`, 400, "is not between 0 and"},
		{x, `{"weight": 1e999}`, 400, "is not an integer"},
		{x, `{"weight": 99999999999999999999}`, 400, "is not an integer"},
		{x, `{"weight": 1.5}`, 400, "is not an integer"},
		{x, `{"weight": "3"}`, 400, "is not an integer"},
		{x, `{"weight": [3]}`, 400, "is not an integer"},
		{x, `{"state": "drain", "ttl": "soon"}`, 400, "ttl: 'soon'"},
		{x, `{"state": "drain", "ttl": "0s"}`, 400, "above zero"},
		{x, `{"state": "drain", "ttl": "-1h"}`, 400, "above zero"},
		{x, `{"state": "drain", "ttl": "87601h"}`, 400, "below ten years"},
		{x, `{"state": "drain", "ttl": "9999999999h"}`, 400, "ttl"},
		{x, `{"state": "drain", "ttl": 30}`, 400, "decoding the body"},
		{x, `{"state": "drain", "reason": "` + strings.Repeat("x", 1001) + `"}`, 400, "reason: 1001 bytes"},
		{x, `{"state": "drain", "reason": "a\u001b[2Jb"}`, 400, "control characters"},
		{x, `{"state": "drain", "pool": "three"}`, 404, "'three' has no upstream '10.0.0.1:80'"},
		{x, `{"ttl": "1h"}`, 404, "there is no such order whose ttl or reason could change"},
		{x, `{"reason": "none"}`, 404, "there is no such order"},
		{x, `{"weight": 3, "pool": "two"}`, 400, "knows no weights other than 0"},
		{x, `{"state": "drain", "reason": "` + strings.Repeat("x", 64<<10) + `"}`, 413, "more than 65536 bytes"},
		{"/load_balancer/upstreams/10.0.0.2:80", `{"weight": 3}`, 400, "knows no weights other than 0"},
		{"/load_balancer/upstreams/10.0.0.2:80", `{"state": "drain", "pool": "one"}`, 404, "has no upstream"},
		{"/load_balancer/upstreams/%7Bhttp.request.host%7D:81", `{"state": "drain"}`, 400, "depends on the request"},
		{"/load_balancer/pools/one", `{"state": "drain"}`, 400, "there are open, paused"},
		{"/load_balancer/pools/one", `{"weight": 1}`, 400, "a pool has no weight"},
		{"/load_balancer/pools/one", `{"weight": null}`, 400, "a pool has no weight"},
		{"/load_balancer/pools/one", `{"state": "paused", "pool": "two"}`, 400, "a pool has no weight"},
		{"/load_balancer/pools/one", `{"reason": "none"}`, 404, "there is no such order"},
	} {
		a := ask(t, "PATCH", c.path, c.body, "Content-Type", "application/json")
		if a.Code != c.status || !strings.Contains(a.Body.String(), c.text) {
			t.Errorf("%s %.80s: got %d %s, want %d %s", c.path, c.body, a.Code, a.Body, c.status, c.text)
		}
	}
	if n := len(orders.Default.List()); n > 0 {
		t.Errorf("%d orders", n)
	}
}

func TestContentTypes(t *testing.T) {
	withoutOrders(t)
	for kind, status := range map[string]int{
		"":                                  400,
		"text/plain":                        400,
		"application/x-www-form-urlencoded": 400,
		"application/jsonx":                 400,
		"application/json;":                 200,
		"application/json; charset=utf-8":   200,
		"Application/JSON":                  200,
	} {
		if a := ask(t, "PATCH", x, `{"state": "drain"}`, "Content-Type", kind); a.Code != status {
			t.Errorf("%q: got %d %s, want %d", kind, a.Code, a.Body, status)
		}
	}
}

// An order for one pool goes before one for all, and ready ends an order or overrides it.
func TestReady(t *testing.T) {
	withoutOrders(t)
	expect := func(one, two pool.Code) {
		t.Helper()
		var got []string
		for _, u := range decode[[]pool.UpstreamView](t, ask(t, "GET", x, "")) {
			got = append(got, fmt.Sprint(u.Pool, " ", u.State))
		}
		if want := fmt.Sprintf("[one %s two %s]", one, two); fmt.Sprint(got) != want {
			t.Errorf("got %v, want %s", got, want)
		}
	}
	expect(pool.Up, pool.Up)
	ask(t, "PATCH", x, `{"state": "maintenance", "reason": "disk"}`).expect(t, 200, `"reason":"disk"`)
	expect(pool.Maintenance, pool.Maintenance)
	ask(t, "PATCH", x, `{"state": "ready", "pool": "one"}`).expect(t, 200, `"state":"ready"`)
	expect(pool.Up, pool.Maintenance)
	ask(t, "PATCH", x, `{"state": "drain", "pool": "one"}`).expect(t, 200, "")
	expect(pool.Draining, pool.Maintenance)
	ask(t, "PATCH", x, `{"state": "ready"}`).expect(t, 204, "")
	expect(pool.Draining, pool.Up)
	ask(t, "DELETE", x, "").expect(t, 404, "one for the pool 'one': add ?pool=one")
	ask(t, "DELETE", x+"?pool=two", "").expect(t, 404, "pool 'one'")
	ask(t, "DELETE", x+"?pool=one", "").expect(t, 204, "")
	expect(pool.Up, pool.Up)
	ask(t, "DELETE", x, "").expect(t, 404, "there is no such order")
	ask(t, "PATCH", x, `{"state": "ready"}`).expect(t, 204, "") // it is already
}

// What a patch leaves out stays as it is; null and empty texts end it.
func TestPatchChangesWhatItHas(t *testing.T) {
	withoutOrders(t)
	get := func() *orders.Order {
		t.Helper()
		list := orders.Default.For("10.0.0.1:80")
		if len(list) != 1 {
			t.Fatalf("%d orders", len(list))
		}
		return list[0]
	}
	ask(t, "PATCH", x, `{"state": "drain", "weight": 0, "ttl": "30m", "reason": "a"}`).expect(t, 200, `"dormant":false`)
	if o := get(); o.State != orders.Drain || *o.Weight != 0 || time.Until(*o.Ends) > 30*time.Minute || o.Reason != "a" {
		t.Errorf("%+v", o)
	}
	ask(t, "PATCH", x, `{"weight": 2147483647, "ttl": ""}`).expect(t, 200, "")
	if o := get(); o.State != orders.Drain || *o.Weight != orders.MaxWeight || o.Ends != nil || o.Reason != "a" {
		t.Errorf("%+v", o)
	}
	ask(t, "PATCH", x, `{"weight": null, "reason": ""}`).expect(t, 200, "")
	if o := get(); o.State != orders.Drain || o.Weight != nil || o.Reason != "" {
		t.Errorf("%+v", o)
	}
	ask(t, "PATCH", x, `{"weight": null}`).expect(t, 200, "")
	ask(t, "PATCH", x, `{"state": "ready"}`).expect(t, 204, "")
	if n := len(orders.Default.List()); n > 0 {
		t.Errorf("%d orders", n)
	}
}

func TestOrdersOfOneAddressByAllItsNames(t *testing.T) {
	withoutOrders(t)
	ask(t, "PATCH", "/load_balancer/upstreams?address=%7Benv.EVENKEEL_TEST_UPSTREAM%7D:80", `{"state": "drain"}`).expect(t, 200, `"address":"10.0.0.9:80"`)
	ask(t, "GET", "/load_balancer/upstreams/10.0.0.9:80", "").expect(t, 200, `"state":"draining"`)
	ask(t, "DELETE", "/load_balancer/upstreams/%7Benv.EVENKEEL_TEST_UPSTREAM%7D:80", "").expect(t, 204, "")
	ask(t, "PATCH", "/load_balancer/upstreams/unix%2F%2Frun%2Fapp.sock", `{"state": "drain"}`).expect(t, 200, "unix//run/app.sock")
	ask(t, "DELETE", "/load_balancer/upstreams?address=unix//run/app.sock", "").expect(t, 204, "")
}

func TestConditions(t *testing.T) {
	withoutOrders(t)
	tag := ask(t, "GET", x, "").Header().Get("ETag")
	for _, bad := range []string{"*", "x", `W/` + tag, tag + ", " + tag, `"` + x + `"`, `"` + x + ` "`, `"` + x + ` xyz"`, strings.Trim(tag, `"`)} {
		ask(t, "PATCH", x, `{"state": "drain"}`, "If-Match", bad).expect(t, 400, "If-Match")
	}
	ask(t, "PATCH", x, `{"state": "drain"}`, "If-Match", `"`+x+` 0123abcd"`).expect(t, 412, "")
	ask(t, "PATCH", "/load_balancer/upstreams/10.0.0.2:80", `{"state": "drain"}`, "If-Match", tag).expect(t, 412, "another path")
	if n := len(orders.Default.List()); n > 0 {
		t.Fatalf("%d orders", n)
	}
	next := ask(t, "PATCH", x, `{"state": "drain"}`, "If-Match", tag).expect(t, 200, "").Header().Get("ETag")
	if next == tag || next != ask(t, "GET", "/load_balancer/upstreams?address=10.0.0.1:80", "").Header().Get("ETag") {
		t.Errorf("ETag %s, then %s", tag, next)
	}
	ask(t, "DELETE", x, "", "If-Match", tag).expect(t, 412, "changed meanwhile")
	ask(t, "PATCH", x, `{"state": "ready", "pool": "one"}`, "If-Match", next).expect(t, 200, "")
	ask(t, "DELETE", x, "", "If-Match", next).expect(t, 412, "") // an order for one pool counts, too
	ask(t, "DELETE", x, "").expect(t, 204, "")
}

// Of operators who have seen the same and order at once, one wins.
func TestConflictingOrdersAtOnce(t *testing.T) {
	withoutOrders(t)
	tag := ask(t, "GET", x, "").Header().Get("ETag")
	codes := make([]int, 8)
	var all sync.WaitGroup
	for i := range codes {
		all.Go(func() {
			codes[i] = ask(t, "PATCH", x, fmt.Sprintf(`{"weight": %d}`, i+1), "If-Match", tag).Code
		})
	}
	all.Wait()
	won := 0
	for _, code := range codes {
		if code == http.StatusOK {
			won++
		} else if code != http.StatusPreconditionFailed {
			t.Errorf("status %d", code)
		}
	}
	if won != 1 {
		t.Errorf("%d won", won)
	}
}

func TestPauseAndDormantOrders(t *testing.T) {
	withoutOrders(t)
	ask(t, "PATCH", "/load_balancer/pools/one", `{"state": "paused", "reason": "db"}`).expect(t, 200, `"state":"paused"`)
	ask(t, "GET", "/load_balancer/pools/one", "").expect(t, 200, `"reason":"paused by an operator: db"`)
	ask(t, "PATCH", "/load_balancer/pools/one", `{"state": "open"}`).expect(t, 204, "")
	ask(t, "GET", "/load_balancer/pools/one", "").expect(t, 200, `"state":"open"`)
	ask(t, "DELETE", "/load_balancer/pools/one", "").expect(t, 404, "there is no such order")
	for _, o := range []orders.Order{{Pool: "gone", State: orders.Paused}, {Address: "10.9.9.9:80", State: orders.Drain}, {Pool: "two", Address: "unix//run/app.sock", State: orders.Drain}} {
		if _, err := orders.Default.Change(t.Context(), o.Pool, o.Address, "", func(to *orders.Order) error { to.State = o.State; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	ask(t, "PATCH", x, `{"state": "drain"}`).expect(t, 200, "")
	dormant := 0
	for _, o := range decode[[]listedOrder](t, ask(t, "GET", "/load_balancer/orders", "")) {
		if o.Dormant {
			dormant++
		} else if o.Address != "10.0.0.1:80" {
			t.Errorf("not dormant: %+v", o.Order)
		}
	}
	if dormant != 3 {
		t.Errorf("%d dormant orders", dormant)
	}
	ask(t, "GET", "/load_balancer/pools/gone", "").expect(t, 404, "only an order for it")
	ask(t, "GET", "/load_balancer/upstreams/10.9.9.9:80", "").expect(t, 200, "[]")
	ask(t, "DELETE", "/load_balancer/pools/gone", "").expect(t, 204, "")
	ask(t, "PATCH", "/load_balancer/upstreams/10.9.9.9:80", `{"state": "maintenance"}`).expect(t, 200, `"dormant":true`)
	ask(t, "DELETE", "/load_balancer/upstreams/10.9.9.9:80", "").expect(t, 204, "")
}

func TestStorageThatRefuses(t *testing.T) {
	withoutOrders(t)
	refuse := func(refuses bool) {
		kept.Lock()
		defer kept.Unlock()
		kept.refuses = refuses
	}
	refuse(true)
	defer refuse(false)
	ask(t, "PATCH", x, `{"state": "drain"}`).expect(t, 503, "the storage has not taken the order: no space left")
	ask(t, "GET", x, "").expect(t, 200, `"state":"up"`)
}
