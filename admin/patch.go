package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddy-evenkeel/evenkeel/internal/orders"
	"github.com/caddy-evenkeel/evenkeel/pool"
)

const (
	maxBody = 64 << 10
	maxTTL  = 10 * 365 * 24 * time.Hour
)

// patch is the body of a PATCH. What it leaves out stays as it is.
type patch struct {
	State  *orders.State   `json:"state"`
	Weight json.RawMessage `json:"weight"` // an integer; null: as configured; nil: not given
	TTL    *string         `json:"ttl"`    // a duration; empty: for good
	Reason *string         `json:"reason"`
	Pool   string          `json:"pool"` // empty: all pools that have the upstream
}

// readPatch reads and checks the body of the request.
func readPatch(w http.ResponseWriter, r *http.Request) (p patch, err error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return p, fail(http.StatusBadRequest, errors.New("the content type is not application/json"))
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	switch large := (*http.MaxBytesError)(nil); {
	case errors.As(err, &large):
		return p, fail(http.StatusRequestEntityTooLarge, fmt.Errorf("the body has more than %d bytes", maxBody))
	case err != nil:
		return p, fail(http.StatusBadRequest, fmt.Errorf("reading the body: %v", err))
	}
	if err := decodeStrictly(body, &p); err != nil {
		return p, fail(http.StatusBadRequest, err)
	}
	if p.State == nil && p.Weight == nil && p.TTL == nil && p.Reason == nil {
		return p, fail(http.StatusBadRequest, errors.New("the body orders nothing; there are state, weight, ttl, reason"))
	}
	return p, nil
}

// apply changes the order as the patch says.
func (p *patch) apply(o *orders.Order) error {
	if p.State == nil && p.Weight == nil && o.Given.IsZero() {
		return fmt.Errorf("%w whose ttl or reason could change: give state or weight, too", orders.ErrUnknown)
	}
	if p.State != nil {
		if *p.State == "" {
			return errors.New("state: it is empty")
		}
		o.State = *p.State
	}
	if p.Weight != nil {
		weight, err := parseWeight(p.Weight)
		if err != nil {
			return err
		}
		o.Weight = weight
	}
	if p.TTL != nil {
		ends, err := parseTTL(*p.TTL)
		if err != nil {
			return err
		}
		o.Ends = ends
	}
	if p.Reason != nil {
		o.Reason = *p.Reason
	}
	return o.Validate()
}

func parseWeight(raw json.RawMessage) (*int, error) {
	if string(raw) == "null" {
		return nil, nil
	}
	var weight int
	if err := json.Unmarshal(raw, &weight); err != nil {
		return nil, fmt.Errorf("weight: %s is not an integer between 0 and %d, or null", raw, orders.MaxWeight)
	}
	return &weight, nil
}

func parseTTL(text string) (*time.Time, error) {
	if text == "" {
		return nil, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 || d > maxTTL {
		return nil, fmt.Errorf("ttl: '%s' is not a duration above zero and below ten years, such as 30m", text)
	}
	ends := time.Now().Add(d).UTC().Truncate(time.Millisecond)
	return &ends, nil
}

// findUpstream returns the pools that have the upstream, and the address that its orders
// name. It is an error if none has it, unless an order is for it.
func findUpstream(address string) (in []*pool.Pool, key string, err error) {
	for _, p := range pool.Serving() {
		if p.Has(address) {
			in = append(in, p)
			key = cmp.Or(key, p.OrderedBy(address))
		}
	}
	if len(in) == 0 && len(orders.Default.For(address)) == 0 {
		return nil, "", noUpstream(address)
	}
	return in, cmp.Or(key, address), nil
}

// serveUpstream serves a request for the upstream.
func serveUpstream(w http.ResponseWriter, r *http.Request, address string) error {
	in, key, err := findUpstream(address)
	if err != nil {
		return err
	}
	path := root + "upstreams/" + url.PathEscape(address)
	return method(w, r, map[string]func() error{
		http.MethodGet: func() error {
			tag := orders.Default.Tag("", key) // before the views, which are no older then
			views := []pool.UpstreamView{}
			for _, p := range in {
				views = append(views, p.ViewsOf(address)...)
			}
			w.Header().Set("ETag", etag(path, tag))
			return reply(w, http.StatusOK, views)
		},
		http.MethodPatch: func() error {
			p, err := readPatch(w, r)
			if err != nil {
				return err
			}
			if err := p.fits(in, address); err != nil {
				return err
			}
			return give(w, r, path, p.Pool, key, p.apply)
		},
		http.MethodDelete: func() error { return give(w, r, path, r.URL.Query().Get("pool"), key, withdraw) },
	})
}

func noUpstream(address string) error {
	return fail(http.StatusNotFound, fmt.Errorf("no pool has the upstream '%s'", address))
}

// fits returns an error if the patch orders what makes no sense for the upstream in the
// pools that have it.
func (p *patch) fits(in []*pool.Pool, address string) error {
	if p.Pool != "" {
		in = slices.DeleteFunc(in, func(in *pool.Pool) bool { return in.Name() != p.Pool })
		if len(in) == 0 {
			return fail(http.StatusNotFound, fmt.Errorf("pool: '%s' has no upstream '%s'", p.Pool, address))
		}
	}
	any := func(has func(*pool.Pool) bool) bool { return len(in) == 0 || slices.ContainsFunc(in, has) }
	switch weight := string(p.Weight); {
	case !any(func(in *pool.Pool) bool { return in.OrderedBy(address) != "" }):
		return fail(http.StatusBadRequest, errors.New("nothing can be ordered of an upstream whose address depends on the request"))
	case weight != "" && weight != "null" && weight != "0" && !any((*pool.Pool).Weighted):
		return fail(http.StatusBadRequest, errors.New("weight: the policy of the pool knows no weights other than 0"))
	}
	return nil
}

// servePool serves a request for the pool.
func servePool(w http.ResponseWriter, r *http.Request, name string) error {
	found, ok := poolNamed(name)
	if !ok && orders.Default.OfPool(name) == nil {
		return fail(http.StatusNotFound, fmt.Errorf("there is no pool '%s'", name))
	}
	path := root + "pools/" + url.PathEscape(name)
	return method(w, r, map[string]func() error{
		http.MethodGet: func() error {
			if !ok {
				return fail(http.StatusNotFound, fmt.Errorf("there is no pool '%s', only an order for it", name))
			}
			w.Header().Set("ETag", etag(path, orders.Default.Tag(name, "")))
			return reply(w, http.StatusOK, found.View())
		},
		http.MethodPatch: func() error {
			p, err := readPatch(w, r)
			switch {
			case err != nil:
				return err
			case p.Weight != nil || p.Pool != "":
				return fail(http.StatusBadRequest, errors.New("a pool has no weight, and no pool; there are state, ttl, reason"))
			}
			return give(w, r, path, name, "", p.apply)
		},
		http.MethodDelete: func() error { return give(w, r, path, name, "", withdraw) },
	})
}

// withdraw makes the order order nothing.
func withdraw(o *orders.Order) error {
	o.State, o.Weight, o.Reason, o.Ends = "", nil, "", nil
	return nil
}

// give changes an order, and answers with it as it is then. Path is that of the ETag.
func give(w http.ResponseWriter, r *http.Request, path, in, address string, edit func(*orders.Order) error) error {
	tag, err := matched(r, path)
	if err != nil {
		return err
	}
	given, err := change(r.Context(), in, address, tag, edit)
	switch {
	case err != nil:
		return err
	case r.Method == http.MethodDelete && given.Before == nil && !given.Mended:
		return fail(http.StatusNotFound, noOrder(in, address))
	}
	w.Header().Set("ETag", etag(path, orders.Default.Tag(in, address)))
	if given.Order == nil {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return reply(w, http.StatusOK, listedOrder{given.Order, dormant(given.Order)})
}

// change changes an order; its errors are those of the API.
func change(ctx context.Context, in, address, tag string, edit func(*orders.Order) error) (orders.Given, error) {
	var invalid error
	given, err := orders.Default.Change(ctx, in, address, tag, func(o *orders.Order) error {
		if invalid = edit(o); invalid != nil {
			return invalid
		}
		if p, ok := poolNamed(in); ok && p.Shared() && !o.Empty() {
			return errShared
		}
		return nil
	})
	switch {
	case errors.Is(err, errShared):
		err = fail(http.StatusConflict, fmt.Errorf("pool: '%s': %w", in, errShared))
	case errors.Is(err, orders.ErrUnknown):
		err = fail(http.StatusNotFound, err)
	case invalid != nil:
		err = fail(http.StatusBadRequest, invalid)
	case errors.Is(err, orders.ErrConflict):
		err = fail(http.StatusPreconditionFailed, err)
	case err != nil:
		err = fail(http.StatusServiceUnavailable, err)
	default:
		obeyed(in, address)
	}
	return given, err
}

// errShared is returned for an order for one of several pools that have no names of their
// own and are alike: it could come to be another one's.
var errShared = errors.New("several pools have this name but for a number, and a restart may number them otherwise;" +
	" give the pool a name of its own, with the option name, or give the order for all pools")

// obeyed returns once the pools that the order is for obey it: who gets an answer can rely
// on it, on this instance.
func obeyed(in, address string) {
	for _, p := range pool.Serving() {
		if (in == "" || in == p.Name()) && (address == "" || p.Has(address)) {
			p.Obey()
		}
	}
}

// noOrder says that there is no order for the upstream in the pool, and which others
// there are.
func noOrder(in, address string) error {
	var others []string
	if address != "" {
		for _, o := range orders.Default.For(address) {
			if o.Pool == "" {
				others = append(others, "one for all pools: leave ?pool away")
			} else {
				others = append(others, fmt.Sprintf("one for the pool '%s': add ?pool=%s", o.Pool, url.QueryEscape(o.Pool)))
			}
		}
	}
	if len(others) == 0 {
		return orders.ErrUnknown
	}
	return fmt.Errorf("%w; there is %s", orders.ErrUnknown, strings.Join(others, "; there is "))
}
