// Package admin is how operators see the pools of a running Caddy, and order what no
// reload is needed for: the admin API, the commands, the status page. All of them read
// [pool.View].
package admin

import (
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
	get := func(serve func() error) error { return method(r, map[string]func() error{http.MethodGet: serve}) }
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
		return method(r, map[string]func() error{http.MethodPost: func() error { return checkNow(w, r, parts[1]) }})
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
func method(r *http.Request, by map[string]func() error) error {
	if serve := by[r.Method]; serve != nil {
		return serve()
	}
	var allowed []string
	for m := range by {
		allowed = append(allowed, m)
	}
	slices.Sort(allowed)
	return fail(http.StatusMethodNotAllowed, fmt.Errorf("method %s is not allowed; allowed: %s", r.Method, strings.Join(allowed, ", ")))
}

// fail returns the error as the admin API answers it.
func fail(status int, err error) error { return caddy.APIError{HTTPStatus: status, Err: err} }

// reply answers with JSON.
func reply(w http.ResponseWriter, status int, value any) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(value) // the client has gone
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

// upstreamsWhere returns the upstreams of all pools that fit.
func upstreamsWhere(fits func(*pool.UpstreamView) bool) []pool.UpstreamView {
	all := []pool.UpstreamView{}
	for _, v := range views() {
		for i := range v.Upstreams {
			if fits(&v.Upstreams[i]) {
				all = append(all, v.Upstreams[i])
			}
		}
	}
	return all
}

// named reports whether the address is one that the upstream goes by.
func named(u *pool.UpstreamView, address string) bool {
	return u.Address == address || u.Dialled == address
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
	return reply(w, http.StatusOK, upstreamsWhere(func(u *pool.UpstreamView) bool {
		return (len(pools) == 0 || slices.Contains(pools, u.Pool)) && (len(states) == 0 || slices.Contains(states, string(u.State)))
	}))
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

// Dormant is an order for what no configuration knows.
type listedOrder struct {
	*orders.Order
	Dormant bool `json:"dormant"` // no pool has what it is for
}

// listOrders lists the orders in force.
func listOrders() []listedOrder {
	all := []listedOrder{}
	for _, o := range orders.Default.List() {
		all = append(all, listedOrder{o, dormant(o)})
	}
	return all
}

// dormant reports whether no pool has what the order is for.
func dormant(o *orders.Order) bool {
	if o.Address == "" {
		_, ok := poolNamed(o.Pool)
		return !ok
	}
	return len(upstreamsWhere(func(u *pool.UpstreamView) bool {
		return named(u, o.Address) && (o.Pool == "" || o.Pool == u.Pool)
	})) == 0
}
