package pool

import (
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// tried are the upstreams that a request has tried, in one handler. It is kept
// in the request's replacer and not in its vars: a dial that the transport has
// given up on may still read those, in another goroutine.
type tried struct {
	addresses []string
}

// String lists the addresses, for logs.
func (t *tried) String() string {
	if t == nil {
		return ""
	}
	return strings.Join(t.addresses, " ")
}

func (t *tried) has(address string) bool {
	return t != nil && slices.Contains(t.addresses, address)
}

// triedBy returns what the request has tried under the given key; nil at its
// first pick. What Caddy passes to a policy has no host in its URL until an
// attempt was made, which spares the look-up.
func triedBy(r *http.Request, key string) *tried {
	if key == "" || r == nil || r.URL == nil || r.URL.Host == "" {
		return nil
	}
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return nil
	}
	value, _ := repl.Get(key)
	t, _ := value.(*tried)
	return t
}

// noteTried adds an upstream to what the request has tried.
func noteTried(r *http.Request, key, address string) {
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return
	}
	value, _ := repl.Get(key)
	t, ok := value.(*tried)
	if !ok {
		t = new(tried)
		repl.Set(key, t)
	}
	if !t.has(address) {
		t.addresses = append(t.addresses, address)
	}
}
