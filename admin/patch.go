package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"slices"
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
	State  *orders.State    `json:"state"`
	Weight *json.RawMessage `json:"weight"` // an integer; null: as configured
	TTL    *string          `json:"ttl"`    // a duration; empty: for good
	Reason *string          `json:"reason"`
	Pool   string           `json:"pool"` // empty: all pools that have the upstream
}

// readPatch reads and checks the body of the request.
func readPatch(r *http.Request) (p patch, err error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return p, fail(http.StatusBadRequest, errors.New("the content type is not application/json"))
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case err != nil:
		return p, fail(http.StatusBadRequest, fmt.Errorf("reading the body: %v", err))
	case len(body) > maxBody:
		return p, fail(http.StatusRequestEntityTooLarge, fmt.Errorf("the body has more than %d bytes", maxBody))
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
	if p.State != nil {
		if *p.State == "" {
			return errors.New("state: it is empty")
		}
		o.State = *p.State
	}
	if p.Weight != nil {
		weight, err := parseWeight(*p.Weight)
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

// serveUpstream serves a request for the upstream.
func serveUpstream(w http.ResponseWriter, r *http.Request, address string) error {
	in := upstreamsWhere(func(u *pool.UpstreamView) bool { return named(u, address) })
	key := address // that of its orders: the dialled address
	for _, u := range in {
		if u.Dialled != "" {
			key = u.Dialled
		}
	}
	if len(in) == 0 && !slices.ContainsFunc(orders.Default.List(), func(o *orders.Order) bool { return o.Address == address }) {
		return fail(http.StatusNotFound, fmt.Errorf("no pool has the upstream '%s'", address))
	}
	return method(r, map[string]func() error{
		http.MethodGet: func() error {
			w.Header().Set("ETag", etag(r, orders.Default.Tag("", key)))
			return reply(w, http.StatusOK, in)
		},
		http.MethodPatch: func() error {
			p, err := readPatch(r)
			if err != nil {
				return err
			}
			if err := p.fits(in); err != nil {
				return err
			}
			return give(w, r, p.Pool, key, func(o *orders.Order) error { return p.apply(o) })
		},
		http.MethodDelete: func() error {
			return give(w, r, r.URL.Query().Get("pool"), key, withdraw)
		},
	})
}

// fits returns an error if the patch orders what makes no sense for the upstream, as the
// pools have it.
func (p *patch) fits(in []pool.UpstreamView) error {
	if p.Pool != "" {
		in = slices.DeleteFunc(slices.Clone(in), func(u pool.UpstreamView) bool { return u.Pool != p.Pool })
		if len(in) == 0 {
			return fail(http.StatusNotFound, fmt.Errorf("pool: '%s' has no such upstream", p.Pool))
		}
	}
	if p.Weight == nil || string(*p.Weight) == "null" || string(*p.Weight) == "0" {
		return nil
	}
	for _, u := range in {
		if found, ok := poolNamed(u.Pool); ok && found.View().Weighted {
			return nil
		}
	}
	if len(in) == 0 {
		return nil
	}
	return fail(http.StatusBadRequest, errors.New("weight: the policy of the pool knows no weights other than 0"))
}

// servePool serves a request for the pool.
func servePool(w http.ResponseWriter, r *http.Request, name string) error {
	found, ok := poolNamed(name)
	if !ok && orders.Default.OfPool(name) == nil {
		return fail(http.StatusNotFound, fmt.Errorf("there is no pool '%s'", name))
	}
	return method(r, map[string]func() error{
		http.MethodGet: func() error {
			if !ok {
				return fail(http.StatusNotFound, fmt.Errorf("there is no pool '%s', only an order for it", name))
			}
			w.Header().Set("ETag", etag(r, orders.Default.Tag(name, "")))
			return reply(w, http.StatusOK, found.View())
		},
		http.MethodPatch: func() error {
			p, err := readPatch(r)
			switch {
			case err != nil:
				return err
			case p.Weight != nil || p.Pool != "":
				return fail(http.StatusBadRequest, errors.New("a pool has no weight, and no pool; there are state, ttl, reason"))
			}
			return give(w, r, name, "", func(o *orders.Order) error { return p.apply(o) })
		},
		http.MethodDelete: func() error { return give(w, r, name, "", withdraw) },
	})
}

// withdraw makes the order order nothing.
func withdraw(o *orders.Order) error {
	o.State, o.Weight, o.Reason, o.Ends = "", nil, "", nil
	return nil
}

// give changes an order, and answers with it as it is then.
func give(w http.ResponseWriter, r *http.Request, in, address string, edit func(*orders.Order) error) error {
	tag, err := matched(r)
	if err != nil {
		return err
	}
	var invalid error
	given, err := orders.Default.Change(r.Context(), in, address, tag, func(o *orders.Order) error {
		invalid = edit(o)
		return invalid
	})
	storage := (*orders.StorageError)(nil)
	switch {
	case invalid != nil:
		return fail(http.StatusBadRequest, invalid)
	case errors.Is(err, orders.ErrConflict):
		return fail(http.StatusPreconditionFailed, err)
	case errors.As(err, &storage), err != nil:
		return fail(http.StatusServiceUnavailable, err)
	}
	w.Header().Set("ETag", etag(r, orders.Default.Tag(in, address)))
	if given.Order == nil {
		if r.Method == http.MethodDelete && given.Before == nil {
			return fail(http.StatusNotFound, errors.New("there is no such order"))
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return reply(w, http.StatusOK, listedOrder{given.Order, dormant(given.Order)})
}

// etag returns the ETag of a path whose orders have the tag, as Caddy's /config writes it.
func etag(r *http.Request, tag string) string {
	return fmt.Sprintf(`"%s %s"`, r.URL.EscapedPath(), tag)
}

var ifMatch = regexp.MustCompile(`^"([^" ]+) ([0-9a-f]+)"$`)

// matched returns the tag that the request's If-Match asks for; empty where it has none.
func matched(r *http.Request) (tag string, err error) {
	header := r.Header.Get("If-Match")
	if header == "" {
		return "", nil
	}
	parts := ifMatch.FindStringSubmatch(header)
	switch {
	case parts == nil:
		return "", fail(http.StatusBadRequest, fmt.Errorf(`If-Match: %s is not an ETag as this API gives it: "<path> <hash>"`, header))
	case parts[1] != r.URL.EscapedPath():
		return "", fail(http.StatusBadRequest, fmt.Errorf("If-Match: it is an ETag of another path: %s", parts[1]))
	}
	return parts[2], nil
}

// checkNow has all checks probe the upstream at once.
func checkNow(w http.ResponseWriter, r *http.Request, address string) error {
	known, probed := false, 0
	for _, p := range pool.Serving() {
		if only := r.URL.Query().Get("pool"); only != "" && only != p.Name() {
			continue
		}
		found, n := p.Probe(address)
		known, probed = known || found, probed+n
	}
	switch {
	case !known:
		return fail(http.StatusNotFound, fmt.Errorf("no pool has the upstream '%s'", address))
	case probed == 0:
		return fail(http.StatusConflict, errors.New("the upstream has no health check"))
	}
	return reply(w, http.StatusAccepted, map[string]int{"checks": probed})
}
