// Package admin is how operators see the pools of a running Caddy, and order what no
// reload is needed for: the admin API, the commands, the status page. All of them read
// [pool.View].
package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-evenkeel/evenkeel/internal/orders"
	"github.com/caddy-evenkeel/evenkeel/pool"
)

func init() { caddy.RegisterModule(API{}) }

// root is the path of the API.
const root = "/load_balancer/"

// API is the module of the admin API. It keeps nothing: Caddy makes it anew with each
// configuration, before that has loaded, and keeps it where loading fails. All is looked
// up for each request.
type API struct{}

// CaddyModule returns the Caddy module information.
func (API) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.load_balancer",
		New: func() caddy.Module { return new(API) },
	}
}

// Provision registers the metrics with the registry that the admin API serves. Where
// loading fails, that is the failed configuration's, and its apps may not have come so far.
func (API) Provision(ctx caddy.Context) error { return pool.RegisterCollector(ctx) }

// Routes implements [caddy.AdminRouter].
func (API) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{{Pattern: root, Handler: caddy.AdminHandlerFunc(serve)}}
}

// serve serves a request to the API.
func serve(w http.ResponseWriter, r *http.Request) error {
	parts, err := segments(r)
	if err != nil {
		return fail(http.StatusBadRequest, err)
	}
	if address := r.URL.Query().Get("address"); address != "" && len(parts) > 0 && parts[0] == "upstreams" {
		parts = slices.Insert(parts, 1, address) // instead of a segment of the path
	}
	get := func(serve func() error) error { return method(w, r, map[string]func() error{http.MethodGet: serve}) }
	switch {
	case slices.Equal(parts, []string{"upstreams"}):
		return get(func() error { return listUpstreams(w, r) })
	case slices.Equal(parts, []string{"pools"}):
		return get(func() error { return reply(w, http.StatusOK, views()) })
	case slices.Equal(parts, []string{"orders"}):
		return get(func() error { return reply(w, http.StatusOK, listOrders()) })
	case slices.Equal(parts, []string{"events"}):
		return get(func() error { return streamEvents(w, r) })
	case len(parts) == 2 && parts[0] == "upstreams":
		return serveUpstream(w, r, parts[1])
	case len(parts) == 3 && parts[0] == "upstreams" && parts[2] == "check":
		return method(w, r, map[string]func() error{http.MethodPost: func() error { return checkNow(w, r, parts[1]) }})
	case len(parts) == 2 && parts[0] == "pools":
		return servePool(w, r, parts[1])
	case slices.Equal(parts, []string{"rosters"}):
		return get(func() error { return listRosters(w) })
	case len(parts) == 2 && parts[0] == "rosters":
		return serveRoster(w, r, parts[1])
	case len(parts) == 4 && parts[0] == "rosters" && parts[2] == "members":
		return serveMember(w, r, parts[1], parts[3])
	}
	return fail(http.StatusNotFound, fmt.Errorf("there is no %s; there are upstreams, pools, rosters, orders, events", r.URL.Path))
}

// segments returns the segments of the request's path below the API's.
func segments(r *http.Request) (parts []string, err error) {
	rest := strings.Trim(strings.TrimPrefix(r.URL.EscapedPath(), strings.TrimSuffix(root, "/")), "/")
	if rest == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(rest, "/") {
		part, err := url.PathUnescape(part)
		if err != nil {
			return nil, err
		}
		if strings.Contains(part, "..") {
			return nil, errors.New("the path has two dots in a row")
		}
		parts = append(parts, part)
	}
	return parts, nil
}

// method serves the request by its method.
func method(w http.ResponseWriter, r *http.Request, by map[string]func() error) error {
	if serve := by[r.Method]; serve != nil {
		return serve()
	}
	var allowed []string
	for m := range by {
		allowed = append(allowed, m)
	}
	slices.Sort(allowed)
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	return fail(http.StatusMethodNotAllowed, fmt.Errorf("method %s is not allowed; allowed: %s", r.Method, strings.Join(allowed, ", ")))
}

// fail returns the error as the admin API answers it.
func fail(status int, err error) error { return caddy.APIError{HTTPStatus: status, Err: err} }

// reply answers with JSON. The value is a copy: however slow the client is, it holds up
// nobody.
func reply(w http.ResponseWriter, status int, value any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return fail(http.StatusInternalServerError, err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text.Bytes()) // the client may have gone
	return nil
}

// views returns all pools that serve.
func views() []pool.View {
	pools := pool.Serving()
	all := make([]pool.View, len(pools))
	for i, p := range pools {
		all[i] = p.View()
	}
	return all
}

// listUpstreams lists upstreams. The query selects them by pool, state and address.
func listUpstreams(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	for name, values := range query {
		if !slices.Contains([]string{"pool", "state"}, name) {
			return fail(http.StatusBadRequest, fmt.Errorf("unknown filter '%s'; there are pool, state, address", name))
		}
		for _, state := range values {
			if name == "state" && !slices.Contains(pool.Codes, pool.Code(state)) {
				return fail(http.StatusBadRequest, fmt.Errorf("unknown state '%s'; there are %s", state, join(pool.Codes)))
			}
		}
	}
	pools, states := query["pool"], query["state"]
	for _, name := range pools {
		if _, ok := poolNamed(name); !ok {
			return fail(http.StatusNotFound, fmt.Errorf("there is no pool '%s'", name))
		}
	}
	all := []pool.UpstreamView{}
	for _, p := range pool.Serving() {
		if len(pools) > 0 && !slices.Contains(pools, p.Name()) {
			continue
		}
		for _, u := range p.View().Upstreams {
			if len(states) == 0 || slices.Contains(states, string(u.State)) {
				all = append(all, u)
			}
		}
	}
	return reply(w, http.StatusOK, all)
}

// join lists texts.
func join[T ~string](all []T) string {
	texts := make([]string, len(all))
	for i, t := range all {
		texts[i] = string(t)
	}
	return strings.Join(texts, ", ")
}

// poolNamed returns the pool with the name.
func poolNamed(name string) (*pool.Pool, bool) {
	for _, p := range pool.Serving() {
		if p.Name() == name {
			return p, true
		}
	}
	return nil, false
}

// listedOrder is an order as the API lists it.
type listedOrder struct {
	*orders.Order
	Dormant bool `json:"dormant"` // no pool has what it is for
}

// listOrders lists the orders in force.
func listOrders() []listedOrder {
	type upstream struct{ pool, address string }
	known := make(map[upstream]bool) // with the pool "", what any pool has
	for _, p := range pool.Serving() {
		known[upstream{pool: p.Name()}] = true
		p.EachAddress(func(address string) {
			known[upstream{p.Name(), address}], known[upstream{"", address}] = true, true
		})
	}
	all := []listedOrder{}
	for _, o := range orders.Default.List() {
		all = append(all, listedOrder{o, !known[upstream{o.Pool, o.Address}]})
	}
	return all
}

// dormant reports whether no pool has what the order is for.
func dormant(o *orders.Order) bool {
	for _, p := range pool.Serving() {
		if (o.Pool == "" || o.Pool == p.Name()) && (o.Address == "" || p.Has(o.Address)) {
			return false
		}
	}
	return true
}
