package healthcheck

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
)

func init() { caddy.RegisterModule(new(HTTP)) }

const (
	defaultMaxBody  = 1 << 20
	defaultStatuses = "200-299"
	maxRedirects    = 10
	userAgent       = "Evenkeel health check"
)

// HTTP is the checker `http`. A target passes when its answer to a request is
// as expected. The request goes the way of the handler's requests: over its
// transport, or over one of the checker's own.
//
// Values of header fields, and the body, may have global placeholders, and:
//
// Placeholder | Description
// ------------|-------------
// `{http.reverse_proxy.active.target_upstream}` | The upstream's address as configured
// `{http.reverse_proxy.upstream.address}` | The address that is probed
// `{http.reverse_proxy.upstream.hostport}` | Its host:port
// `{http.reverse_proxy.upstream.host}` | Its host
// `{http.reverse_proxy.upstream.port}` | Its port
type HTTP struct {
	// Path and query to ask for. Default: /
	URI string `json:"uri,omitempty"`

	// Request method. Default: GET
	Method string `json:"method,omitempty"`

	// Request header fields. Host takes the place of the check's `host` in the
	// header, not as TLS server name. Default: a User-Agent.
	Header map[string]string `json:"header,omitempty"`

	// Request body. Default: none.
	Body string `json:"body,omitempty"`

	// http or https. Default: https if the transport uses TLS for the port,
	// else http.
	Scheme string `json:"scheme,omitempty"`

	// Follow up to 10 redirects, all of them on the same upstream, and judge
	// the last answer. Default: false, judge the first.
	FollowRedirects bool `json:"follow_redirects,omitempty"`

	// Status codes to expect: codes, classes such as 2xx, and ranges such as
	// 200-399. Default: 200-299
	ExpectStatus []string `json:"expect_status,omitempty"`

	// Regular expressions that fields of the response header must match.
	// Several values of a field are joined by ", ". Default: none.
	ExpectHeader map[string]string `json:"expect_header,omitempty"`

	// Regular expression that the response body must match. Default: none.
	ExpectBody string `json:"expect_body,omitempty"`

	// [CEL](https://github.com/google/cel-spec) expression that must be true
	// of the response. It has the variables status (int), headers (map of
	// string to string, by canonical and by lower-case name), body (string),
	// json (the body decoded; numbers are doubles) and duration (until the
	// response header). Default: none.
	Expect string `json:"expect,omitempty"`

	// Bytes of response body to read at most; a longer body fails the probe.
	// Default: 1 MiB
	MaxBody int64 `json:"max_body,omitempty"`

	// Transport for the probes. Default: that of the handler's requests.
	TransportRaw json.RawMessage `json:"transport,omitempty" caddy:"namespace=http.reverse_proxy.transport inline_key=protocol"`

	uri         *url.URL
	fields      []headerField
	statuses    cfg.Statuses
	patterns    []fieldPattern
	bodyPattern *regexp.Regexp // nil: any
	expression  *expression    // nil: none
	transport   http.RoundTripper
}

type headerField struct{ name, value string }

type fieldPattern struct {
	name    string
	pattern *regexp.Regexp
}

// CaddyModule returns the Caddy module information.
func (*HTTP) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  Namespace + ".http",
		New: func() caddy.Module { return new(HTTP) },
	}
}

// Provision sets defaults, compiles the options, and loads the transport.
func (h *HTTP) Provision(ctx caddy.Context) error {
	if h.URI == "" {
		h.URI = "/"
	}
	if h.Method == "" {
		h.Method = http.MethodGet
	}
	if len(h.ExpectStatus) == 0 {
		h.ExpectStatus = []string{defaultStatuses}
	}
	if h.MaxBody == 0 {
		h.MaxBody = defaultMaxBody
	}
	if err := h.compile(); err != nil {
		return err
	}
	if h.TransportRaw == nil {
		return nil
	}
	mod, err := ctx.LoadModule(h, "TransportRaw")
	if err != nil {
		return fmt.Errorf("transport: %w", err)
	}
	rt, ok := mod.(http.RoundTripper)
	if !ok {
		return fmt.Errorf("transport: the module sends no requests")
	}
	h.transport = rt
	return nil
}

// OwnTransport implements [TransportOwner].
func (h *HTTP) OwnTransport() http.RoundTripper { return h.transport }

// Check implements [Checker].
func (h *HTTP) Check(ctx context.Context, t Target) error {
	_, err := h.Report(ctx, t)
	return err
}

// Report implements [Reporter]: it reports the response header.
func (h *HTTP) Report(ctx context.Context, t Target) (Report, error) {
	ctx = withBudget(ctx)
	if _, ok := t.Transport.(*reverseproxy.HTTPTransport); ok {
		header, err := h.probe(ctx, t)
		return Report{Header: header}, err
	}
	// Some transports ignore the context, as FastCGI's does.
	done := make(chan answer, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				done <- answer{err: failf("transport panicked: %v", r)}
			}
		}()
		header, err := h.probe(ctx, t)
		done <- answer{Report{Header: header}, err}
	}()
	select {
	case a := <-done:
		return a.report, a.err
	case <-ctx.Done():
		return Report{}, reason(ctx, ctx.Err())
	}
}

// probe sends the request and judges the response.
func (h *HTTP) probe(ctx context.Context, t Target) (http.Header, error) {
	req, err := h.request(ctx, t)
	if err != nil {
		return nil, reason(ctx, err)
	}
	start := time.Now()
	resp, err := h.send(req, t.Transport)
	if err != nil {
		return nil, reason(ctx, err)
	}
	defer resp.Body.Close()
	return resp.Header, h.judge(ctx, resp, time.Since(start))
}

// judge returns nil if the response is as expected. Duration is the time until its
// header.
func (h *HTTP) judge(ctx context.Context, resp *http.Response, duration time.Duration) error {
	if !h.statuses.Contain(resp.StatusCode) {
		return failf("status %d, expected %s", resp.StatusCode, h.statuses)
	}
	for _, f := range h.patterns {
		values := resp.Header.Values(f.name)
		if len(values) == 0 {
			return failf("header %s is missing, expected to match /%s/", f.name, f.pattern)
		}
		if value := strings.Join(values, ", "); !f.pattern.MatchString(value) {
			return failf("header %s is %q, expected to match /%s/", f.name, clip(value, maxReason/3), f.pattern)
		}
	}
	body, err := h.read(resp)
	if err != nil {
		return reason(ctx, err)
	}
	if h.bodyPattern != nil && !h.bodyPattern.Match(body) {
		return failf("body does not match /%s/", h.bodyPattern)
	}
	if h.expression == nil {
		return nil
	}
	return h.expression.check(ctx, response{
		status:   resp.StatusCode,
		header:   resp.Header,
		body:     body,
		duration: duration,
	})
}

// read reads the body, and returns it if an expectation needs it.
func (h *HTTP) read(resp *http.Response) (body []byte, err error) {
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return nil, nil // another protocol follows
	}
	limited := io.LimitReader(resp.Body, h.MaxBody+1)
	var n int64
	if h.bodyPattern != nil || h.expression != nil {
		body, err = io.ReadAll(limited)
		n = int64(len(body))
	} else {
		n, err = io.Copy(io.Discard, limited)
	}
	if n > h.MaxBody {
		return nil, failf("response body exceeds max_body of %s", humanize.IBytes(uint64(h.MaxBody)))
	}
	return body, err
}

// Interface guards
var (
	_ Reporter              = (*HTTP)(nil)
	_ TransportOwner        = (*HTTP)(nil)
	_ caddy.Provisioner     = (*HTTP)(nil)
	_ caddyfile.Unmarshaler = (*HTTP)(nil)
)
