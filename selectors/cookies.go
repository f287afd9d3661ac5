package selectors

import (
	"context"
	"iter"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-evenkeel/evenkeel/internal/request"
)

// sent returns the values of a header field as the client has sent it: attempts
// may have changed those of the request.
func sent(r *http.Request, field string) []string {
	if request.IsRetry(r) {
		return sentIn(r.Context(), field)
	}
	return r.Header[field]
}

// sentIn is sent for the request of the context. Several values are one there,
// joined by commas.
func sentIn(ctx context.Context, field string) []string {
	repl := request.ReplacerIn(ctx)
	if repl == nil {
		return nil
	}
	value, _ := repl.GetString("http.request.header." + field)
	if value == "" {
		return nil
	}
	return []string{value}
}

// cookies returns the lines of the request's cookies, and keeps them for later
// where they could not be told apart then.
func (p *Sticky) cookies(r *http.Request) []string {
	if request.IsRetry(r) {
		return p.cookiesIn(r.Context())
	}
	lines := r.Header["Cookie"]
	if len(lines) > 1 {
		if repl := request.Replacer(r); repl != nil {
			repl.Set(p.lines, slices.Clone(lines))
		}
	}
	return lines
}

// cookiesIn is cookies for the request of the context.
func (p *Sticky) cookiesIn(ctx context.Context) []string {
	if repl := request.ReplacerIn(ctx); repl != nil {
		if value, ok := repl.Get(p.lines); ok {
			return value.([]string)
		}
	}
	return sentIn(ctx, "Cookie")
}

// cookiesOf yields the values of the cookies of the name in the lines: one may be
// there several times, from different paths, the longest of them first.
func cookiesOf(lines []string, name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, line := range lines {
			for line != "" {
				var part string
				part, line, _ = strings.Cut(line, ";")
				n, value, found := strings.Cut(strings.TrimSpace(part), "=")
				if found && n == name && !yield(value) {
					return
				}
			}
		}
	}
}

// cookieIn returns the value of a cookie that is in the lines once.
func cookieIn(lines []string, name string) (value string, ok bool) {
	for v := range cookiesOf(lines, name) {
		if ok {
			return "", false
		}
		value, ok = v, true
	}
	return value, ok
}

// pathParameter returns what the path has in place of a cookie, as servlet
// containers have it for clients that keep none: /a;jsessionid=1234.
func pathParameter(r *http.Request, name string) string {
	uri := r.URL
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		uri = original.URL // nothing rewritten
	}
	if uri == nil {
		return ""
	}
	_, rest, ok := strings.Cut(uri.Path, ";")
	for ok {
		var part string
		part, rest, ok = strings.Cut(rest, ";")
		part, _, _ = strings.Cut(part, "/")
		if n, value, found := strings.Cut(part, "="); found && strings.EqualFold(n, name) {
			return value
		}
	}
	return ""
}
