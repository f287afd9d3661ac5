package selectors

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/caddy-evenkeel/evenkeel/internal/request"
)

// responseEditor sets header fields of a response at a pick, and undoes that at the
// next one, which may come to another upstream: Caddy would send both. The
// request's replacer keeps what was set.
type responseEditor struct {
	key    string   // of what was set, in the replacer
	fields []string // that it sets
}

// newResponseEditor returns the owner's own editor of these fields.
func newResponseEditor(owner any, fields ...string) responseEditor {
	return responseEditor{fmt.Sprintf("http.load_balancer.edited.%p", owner), fields}
}

// headerLine is a value of a header field.
type headerLine struct {
	header       http.Header
	field, value string
}

// set sets the field of the header; a cookie comes beside others.
func (e responseEditor) set(r *http.Request, header http.Header, field, value string) {
	if field == "Set-Cookie" {
		header.Add(field, value)
	} else {
		header.Set(field, value)
	}
	e.note(r, headerLine{header, field, value})
}

// note notes lines that were set.
func (e responseEditor) note(r *http.Request, lines ...headerLine) {
	if repl := request.Replacer(r); repl != nil {
		earlier, _ := repl.Get(e.key)
		noted, _ := earlier.([]headerLine)
		repl.Set(e.key, slices.Concat(noted, lines))
	}
}

// undo removes what was set at an earlier pick. The header is that of the response,
// if it is at hand.
func (e responseEditor) undo(r *http.Request, header http.Header) {
	if header != nil && !slices.ContainsFunc(e.fields, func(field string) bool { return len(header[field]) > 0 }) {
		return
	}
	repl := request.Replacer(r)
	if repl == nil {
		return
	}
	value, _ := repl.Get(e.key)
	lines, _ := value.([]headerLine)
	if len(lines) == 0 {
		return
	}
	repl.Delete(e.key)
	for _, l := range lines {
		l.remove()
	}
}

// undoField removes the field, if it was set at the pick for the request that has
// the context.
func (e responseEditor) undoField(ctx context.Context, field string) {
	repl := request.ReplacerIn(ctx)
	if repl == nil {
		return
	}
	value, _ := repl.Get(e.key)
	lines, _ := value.([]headerLine)
	for _, l := range lines {
		if l.field == field {
			l.remove()
		}
	}
}

// remove removes the line from its header.
func (l *headerLine) remove() {
	l.header[l.field] = slices.DeleteFunc(l.header[l.field], func(v string) bool { return v == l.value })
	if len(l.header[l.field]) == 0 {
		delete(l.header, l.field)
	}
}
