// Package request tells what Caddy's handlers know of a request.
package request

import (
	"context"
	"net/http"

	"github.com/caddyserver/caddy/v2"
)

// Replacer returns the request's replacer, where policies keep what they know of the
// request; nil if there is none, or no request.
func Replacer(r *http.Request) *caddy.Replacer {
	if r == nil {
		return nil
	}
	return ReplacerIn(r.Context())
}

// ReplacerIn returns the replacer of the request that has the context; nil for none.
func ReplacerIn(ctx context.Context) *caddy.Replacer {
	repl, _ := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	return repl
}

// IsRetry reports whether an attempt may have been made for the request: what Caddy
// passes to a policy has no host in its URL until then, unless the client has sent
// one.
func IsRetry(r *http.Request) bool { return r != nil && r.URL != nil && r.URL.Host != "" }
