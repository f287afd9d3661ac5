package selectors

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/caddy-evenkeel/evenkeel/pool"
)

// given is what a policy sets in the header of a response at a pick, and takes
// back at the next one, which may come to another upstream: Caddy would send
// both. The request's replacer keeps what it is.
type given struct {
	key    string
	fields []string
}

// newGiven returns one that is the owner's own, for these fields of the header.
func newGiven(owner any, fields ...string) given {
	return given{fmt.Sprintf("http.load_balancer.given.%p", owner), fields}
}

// line is a value of a header field.
type line struct {
	header       http.Header
	field, value string
}

// set sets the field of the header; a cookie comes beside others.
func (g given) set(r *http.Request, header http.Header, field, value string) {
	if field == "Set-Cookie" {
		header.Add(field, value)
	} else {
		header.Set(field, value)
	}
	g.note(r, line{header, field, value})
}

// note notes what was set.
func (g given) note(r *http.Request, lines ...line) {
	repl := pool.Replacer(r)
	if repl == nil {
		return
	}
	value, _ := repl.Get(g.key)
	earlier, _ := value.([]line)
	repl.Set(g.key, slices.Concat(earlier, lines))
}

// takeBack removes what was set at an earlier pick. The header is that of the
// response, if it is at hand.
func (g given) takeBack(r *http.Request, header http.Header) {
	if header != nil && !slices.ContainsFunc(g.fields, func(field string) bool { return len(header[field]) > 0 }) {
		return
	}
	repl := pool.Replacer(r)
	if repl == nil {
		return
	}
	value, _ := repl.Get(g.key)
	earlier, _ := value.([]line)
	if len(earlier) == 0 {
		return
	}
	repl.Delete(g.key)
	for _, l := range earlier {
		l.remove()
	}
}

// withdraw removes the field, if it was set at the pick for the request that has the
// context.
func (g given) withdraw(ctx context.Context, field string) {
	repl := pool.ReplacerIn(ctx)
	if repl == nil {
		return
	}
	value, _ := repl.Get(g.key)
	earlier, _ := value.([]line)
	for _, l := range earlier {
		if l.field == field {
			l.remove()
		}
	}
}

// remove removes the line from its header.
func (l *line) remove() {
	l.header[l.field] = slices.DeleteFunc(l.header[l.field], func(v string) bool { return v == l.value })
	if len(l.header[l.field]) == 0 {
		delete(l.header, l.field)
	}
}
