package healthcheck

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
)

func init() {
	cfg.Options("http", "health_check", "method", "header", "body", "scheme", "follow_redirects", "expect_status",
		"expect_header", "expect_body", "expect", "max_body", "transport")
}

// UnmarshalCaddyfile sets up h from Caddyfile tokens. Syntax:
//
//	http [<uri>] {
//		method           <method>
//		header           <field> <value>
//		body             <text>
//		scheme           http|https
//		follow_redirects
//		expect_status    <status...>
//		expect_header    <field> <regexp>
//		expect_body      <regexp>
//		expect           <cel>
//		max_body         <size>
//		transport        <name> { ... }
//	}
func (h *HTTP) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the checker's name
	if d.NextArg() {
		h.URI = d.Val()
		if h.URI == "" {
			return d.Err("uri: empty")
		}
	}
	if err := h.compile(); err != nil {
		return d.WrapErr(err)
	}
	if d.NextArg() {
		return d.Errf("http: unexpected argument '%s'", d.Val())
	}
	seen := make(cfg.Seen)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if d.Val() != "header" && d.Val() != "expect_header" {
			if err := seen.Once(d); err != nil {
				return err
			}
		}
		if err := h.unmarshalOption(d); err != nil {
			return err
		}
		// The options before compile: an error is about this one.
		if err := h.compile(); err != nil {
			return d.WrapErr(err)
		}
	}
	return nil
}

// unmarshalOption parses the option at the cursor.
func (h *HTTP) unmarshalOption(d *caddyfile.Dispenser) (err error) {
	switch d.Val() {
	case "method":
		h.Method, err = nonEmpty(d)
	case "header":
		err = addPair(d, &h.Header, http.CanonicalHeaderKey)
	case "body":
		h.Body, err = cfg.Arg(d)
	case "scheme":
		h.Scheme, err = nonEmpty(d)
	case "follow_redirects":
		h.FollowRedirects = true
		err = cfg.Flag(d)
	case "expect_status":
		h.ExpectStatus, err = cfg.Args(d, 1, -1)
	case "expect_header":
		err = addPair(d, &h.ExpectHeader, http.CanonicalHeaderKey)
	case "expect_body":
		h.ExpectBody, err = nonEmpty(d)
	case "expect":
		h.Expect, err = unmarshalExpression(d)
	case "max_body":
		h.MaxBody, err = cfg.Size(d)
	case "transport":
		err = h.unmarshalTransport(d)
	default:
		err = cfg.Unknown(d, "http")
	}
	return err
}

// unmarshalExpression parses the option's argument. It need not be quoted, as in
// Caddy's matcher `expression`: tokens are joined as they were written.
func unmarshalExpression(d *caddyfile.Dispenser) (string, error) {
	option := d.Val()
	if d.CountRemainingArgs() < 2 {
		return nonEmpty(d)
	}
	source := strings.Join(d.RemainingArgsRaw(), " ")
	return source, cfg.NoBlock(d, option)
}

func (h *HTTP) unmarshalTransport(d *caddyfile.Dispenser) error {
	if !d.NextArg() {
		return d.Err("transport: missing argument")
	}
	name := d.Val()
	mod, err := caddyfile.UnmarshalModule(d, "http.reverse_proxy.transport."+name)
	if err != nil {
		return err
	}
	rt, ok := mod.(http.RoundTripper)
	if !ok {
		return d.Errf("transport: the module '%s' sends no requests", name)
	}
	h.TransportRaw = caddyconfig.JSONModuleObject(rt, "protocol", name, nil)
	return nil
}

// compile compiles the options that are set. Its errors name option and value.
func (h *HTTP) compile() (err error) {
	if h.uri, err = parseURI(h.URI); err != nil {
		return err
	}
	if h.Method != "" && !isToken(h.Method) || h.Method == http.MethodConnect {
		return fmt.Errorf("method: '%s' is not a method that a probe can have", h.Method)
	}
	if h.Scheme != "" && h.Scheme != "http" && h.Scheme != "https" {
		return fmt.Errorf("scheme: '%s' is neither http nor https", h.Scheme)
	}
	if h.fields, err = requestFields(h.Header); err != nil {
		return err
	}
	if h.statuses, err = cfg.ParseStatuses(h.ExpectStatus); err != nil {
		return fmt.Errorf("expect_status: %w", err)
	}
	if h.patterns, err = fieldPatterns(h.ExpectHeader); err != nil {
		return err
	}
	h.bodyPattern, h.expression = nil, nil
	if h.ExpectBody != "" {
		if h.bodyPattern, err = regexp.Compile(h.ExpectBody); err != nil {
			return fmt.Errorf("expect_body: %w", err)
		}
	}
	if h.Expect != "" {
		if h.expression, err = compileExpression(h.Expect, maxCost); err != nil {
			return fmt.Errorf("expect: %w", err)
		}
	}
	if h.MaxBody < 0 || h.MaxBody > 1<<62 {
		return fmt.Errorf("max_body: %d is out of range", h.MaxBody)
	}
	return nil
}

// parseURI parses a request target in origin form (RFC 9112, 3.2.1).
func parseURI(uri string) (*url.URL, error) {
	if uri == "" {
		return nil, nil
	}
	if !strings.HasPrefix(uri, "/") || strings.ContainsAny(uri, " #") {
		return nil, fmt.Errorf("uri: '%s' is not a path that begins with /, with or without a query", uri)
	}
	if match := environment.FindStringSubmatch(uri); match != nil {
		return nil, fmt.Errorf("uri: '%s': placeholders are not known here; {$%s} is put in when the Caddyfile is read", uri, match[1])
	}
	u, err := url.ParseRequestURI(uri)
	if err != nil {
		return nil, fmt.Errorf("uri: '%s': %w", uri, errors.Unwrap(err))
	}
	return u, nil
}

// requestFields returns the fields to send, sorted by name.
func requestFields(header map[string]string) ([]headerField, error) {
	names, err := fieldNames("header", header)
	if err != nil {
		return nil, err
	}
	fields := make([]headerField, 0, len(names))
	for _, name := range names {
		value := header[name]
		f := headerField{http.CanonicalHeaderKey(name), value}
		switch f.name {
		case "Content-Length", "Transfer-Encoding", "Trailer":
			return nil, fmt.Errorf("header: %s follows from the body", f.name)
		}
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return nil, fmt.Errorf("header: value %q of %s has control characters", value, f.name)
		}
		fields = append(fields, f)
	}
	return fields, nil
}

// fieldPatterns returns the patterns of the response's fields, sorted by name, so that
// two probes that fail alike have the same reason.
func fieldPatterns(header map[string]string) ([]fieldPattern, error) {
	names, err := fieldNames("expect_header", header)
	if err != nil {
		return nil, err
	}
	patterns := make([]fieldPattern, 0, len(names))
	for _, name := range names {
		re, err := regexp.Compile(header[name])
		if err != nil {
			return nil, fmt.Errorf("expect_header: %s: %w", name, err)
		}
		patterns = append(patterns, fieldPattern{http.CanonicalHeaderKey(name), re})
	}
	return patterns, nil
}

// fieldNames returns the sorted names of an option's header fields.
func fieldNames(option string, header map[string]string) ([]string, error) {
	names := slices.Sorted(maps.Keys(header))
	seen := make(map[string]bool)
	for _, name := range names {
		if !isToken(name) {
			return nil, fmt.Errorf("%s: '%s' is not a field name", option, name)
		}
		canonical := http.CanonicalHeaderKey(name)
		if seen[canonical] {
			return nil, fmt.Errorf("%s: duplicate '%s'", option, canonical)
		}
		seen[canonical] = true
	}
	return names, nil
}

// isToken reports whether the text is a token (RFC 9110, 5.6.2), as methods
// and field names are.
func isToken(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' ||
			strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	})
}
