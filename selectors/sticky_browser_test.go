package selectors

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/request"
	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// browser is a client that keeps its cookies, and the header field that it is to
// send back.
type browser struct {
	cookies map[string]string
	token   string
}

const field = "X-Session"

func newBrowser(cookies ...string) *browser {
	b := &browser{cookies: make(map[string]string)}
	for i := 0; i < len(cookies); i += 2 {
		b.cookies[cookies[i]] = cookies[i+1]
	}
	return b
}

// clone returns one that knows the same.
func (b *browser) clone() *browser {
	return &browser{cookies: maps.Clone(b.cookies), token: b.token}
}

// request returns a request of the browser's.
func (b *browser) request() *http.Request {
	r := pooltest.ServerRequest("/")
	var all []string
	for name, value := range b.cookies {
		all = append(all, name+"="+value)
	}
	if slices.Sort(all); len(all) > 0 {
		r.Header.Set("Cookie", strings.Join(all, "; "))
	}
	if b.token != "" {
		r.Header.Set(field, b.token)
	}
	return r
}

// keep has the browser keep what it is told, and returns the cookies.
func (b *browser) keep(header http.Header) (set []*http.Cookie) {
	for _, line := range header["Set-Cookie"] {
		c, err := http.ParseSetCookie(line)
		if err != nil {
			continue // no more than browsers do
		}
		b.cookies[c.Name] = c.Value
		set = append(set, c)
	}
	if token := header.Get(field); token != "" {
		b.token = token
	}
	return set
}

// served is what became of a request.
type served struct {
	by     string // dial address of who answered; none
	status int
	set    []*http.Cookie
	header http.Header
}

// refused reports whether there was no upstream, and nothing is told of a session.
func (s served) refused() bool {
	return s.by == pooltest.None && s.status == http.StatusServiceUnavailable && len(s.header) == 1 && s.header.Get("Retry-After") == "1"
}

// visit has a request of the browser's served, as it is or changed.
func (b *browser) visit(t *testing.T, h *reverseproxy.Handler, changes ...func(*http.Request)) served {
	t.Helper()
	return b.visitWith(t, h, func(http.Header) {}, changes...)
}

// visitWith is visit where something was set on the response before.
func (b *browser) visitWith(t *testing.T, h *reverseproxy.Handler, before func(http.Header), changes ...func(*http.Request)) served {
	t.Helper()
	r, w := b.request(), httptest.NewRecorder()
	before(w.Header())
	for _, change := range changes {
		change(r)
	}
	s := served{by: pooltest.None}
	var failed caddyhttp.HandlerError
	switch err := h.ServeHTTP(w, r, nil); {
	case err == nil:
		s.status = w.Code
		s.by, _ = request.Replacer(r).GetString("http.reverse_proxy.upstream.hostport")
	case errors.As(err, &failed):
		s.status = failed.StatusCode
	default:
		t.Fatal(err)
	}
	s.header = w.Header()
	s.set = b.keep(s.header)
	return s
}

// settled returns a browser whose session is with the upstream.
func settled(t *testing.T, h *reverseproxy.Handler, address string) *browser {
	t.Helper()
	for range 1000 {
		b := newBrowser()
		if b.visit(t, h).by == address {
			return b
		}
	}
	t.Fatalf("%s gets no new session", address)
	return nil
}

// expectStays expects that the session is with the upstream and stays there,
// without a word.
func expectStays(t *testing.T, when string, h *reverseproxy.Handler, b *browser, address string) {
	t.Helper()
	for range 10 {
		if got := b.visit(t, h); got.by != address || len(got.set) > 0 || got.header.Get(field) != "" {
			t.Fatalf("%s: the session is with %s, but %+v", when, address, got)
		}
	}
}

// expectMoves expects that the session goes to another upstream, and stays there.
func expectMoves(t *testing.T, when string, h *reverseproxy.Handler, b *browser, address string) {
	t.Helper()
	got := b.visit(t, h)
	if got.by == address || got.by == pooltest.None || len(got.set) > 1 {
		t.Fatalf("%s: %+v", when, got)
	}
	if len(got.set) == 0 && got.header.Get(field) == "" {
		t.Errorf("%s: the client is not told that it is with %s", when, got.by)
	}
	expectStays(t, when, h, b, got.by)
}

// newcomers counts who meets the first requests of n clients.
func newcomers(t *testing.T, h *reverseproxy.Handler, n int) map[string]int {
	t.Helper()
	got := make(map[string]int)
	for range n {
		got[newBrowser().visit(t, h).by]++
	}
	return got
}

const secret = "of the tests, and long enough"

// sticky is the policy with options.
func sticky(options ...object) object {
	config := object{"policy": "sticky"}
	for _, o := range options {
		maps.Copy(config, o)
	}
	_, learns := config["learn"]
	_, routes := config["route"]
	_, header := config["header"]
	_, cookie := config["cookie"]
	if signs := header || cookie && (learns || !routes) || !learns && !routes; signs && config["secret"] == nil {
		config["secret"] = []string{secret}
	}
	return config
}

// ways are how clients say where their session is, of n upstreams.
var ways = map[string]func(n int) object{
	"cookie":  func(int) object { return nil },
	"header":  func(int) object { return object{"header": field} },
	"learned": func(int) object { return object{"learn": []string{"SID"}} },
	"routed": func(n int) object {
		routes := make(object)
		for i := range n {
			routes[fmt.Sprint("r", i)] = pooltest.Dial(i)
		}
		return object{"cookie": "SID", "route": routes}
	},
}

var sessions atomic.Int64

// app is to answer as the i-th upstream of an application that has sessions: who
// comes without one, or with that of another upstream, gets a new one.
func app(i int) pooltest.Act {
	return func(r *http.Request) (*http.Response, error) {
		if c, err := r.Cookie("SID"); err == nil && strings.HasSuffix(c.Value, fmt.Sprint(".r", i)) {
			return pooltest.Answer(http.StatusOK)(r)
		}
		return pooltest.Answer(http.StatusOK, "Set-Cookie", fmt.Sprintf("SID=%d.r%d", sessions.Add(1), i))(r)
	}
}

// opener provisions a handler of n upstreams, with options of the policy and of
// the upstreams.
type opener func(n int, options object, upstreams ...object) *reverseproxy.Handler

// forWays runs a test for all ways, each in a bubble of its own.
func forWays(t *testing.T, test func(t *testing.T, open opener)) {
	for name, way := range ways {
		alone(t, name, func(t *testing.T) {
			test(t, func(n int, options object, upstreams ...object) *reverseproxy.Handler {
				h := pooltest.NewScripted(t, sticky(way(n), options), n, upstreams...)
				for i := range n {
					if name == "learned" || name == "routed" {
						pooltest.Script(pooltest.Dial(i), app(i))
					}
				}
				return h
			})
		})
	}
}

// alone runs a test in a bubble, with addresses of its own.
func alone(t *testing.T, name string, test func(t *testing.T)) {
	t.Run(name, func(t *testing.T) {
		pooltest.Test(t, test)
	})
}
