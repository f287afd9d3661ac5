package pool

import (
	"context"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
)

// tried are the upstreams that a request has tried, in one handler. It is kept
// in the request's replacer and not in its vars: a dial that the transport has
// given up on may still read those, in another goroutine.
type tried struct {
	addresses []string
}

func (t *tried) has(address string) bool {
	return t != nil && slices.Contains(t.addresses, address)
}

// Replacer returns the request's, where policies keep what they know of it; nil
// if there is none, or no request.
func Replacer(r *http.Request) *caddy.Replacer {
	if r == nil {
		return nil
	}
	return ReplacerIn(r.Context())
}

// ReplacerIn returns the replacer of the request that has the context.
func ReplacerIn(ctx context.Context) *caddy.Replacer {
	repl, _ := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	return repl
}

// IsRetry reports whether an attempt may have been made for the request: what Caddy
// passes to a policy has no host in its URL until then, unless the client has sent
// one.
func IsRetry(r *http.Request) bool { return r != nil && r.URL != nil && r.URL.Host != "" }

// triedBy returns what the request has tried under the given key; nil at its
// first pick.
func triedBy(r *http.Request, key string) *tried {
	if !IsRetry(r) {
		return nil
	}
	repl := Replacer(r)
	if repl == nil {
		return nil
	}
	value, _ := repl.Get(key)
	t, _ := value.(*tried)
	return t
}

// noteTried adds an upstream to what the request has tried.
func noteTried(r *http.Request, key, address string) {
	repl := Replacer(r)
	if repl == nil {
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
