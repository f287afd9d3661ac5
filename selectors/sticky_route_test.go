package selectors

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// routing provisions a handler of three upstreams, named a, b and c.
func routing(t *testing.T, options ...object) *reverseproxy.Handler {
	t.Helper()
	return pooltest.NewScripted(t, sticky(append([]object{{"route": object{"a": pooltest.Dial(0), "b": pooltest.Host(1), "c": "http://" + pooltest.Host(2)}}}, options...)...), 3)
}

// expectRoute expects that a request of the path and the cookies goes to the
// upstream, without a word; to any, if that is none.
func expectRoute(t *testing.T, h *reverseproxy.Handler, path, cookie, want string) {
	t.Helper()
	got := make(map[string]int)
	for range 30 {
		s := newBrowser().visit(t, h, func(r *http.Request) {
			r.URL.Path = path
			if cookie != "" {
				r.Header.Set("Cookie", cookie)
			}
		})
		got[s.by]++
		if len(s.set) > 0 {
			t.Errorf("%s, %s: set %v", path, cookie, s.set)
		}
	}
	if want == pooltest.None && len(got) < 2 || want != pooltest.None && got[want] != 30 {
		t.Errorf("%s, %s: %v", path, cookie, got)
	}
}

func TestRouteOfTheCookie(t *testing.T) {
	h := routing(t)
	for cookie, want := range map[string]string{
		"JSESSIONID=0123.a":                         pooltest.Dial(0),
		"JSESSIONID=0123.b":                         pooltest.Dial(1),
		"x=y; JSESSIONID=0123.c; z=.a":              pooltest.Dial(2),
		"JSESSIONID=01.23.c":                        pooltest.Dial(2),
		"JSESSIONID=.b":                             pooltest.Dial(1),
		"JSESSIONID=0123":                           pooltest.None,
		"JSESSIONID=a":                              pooltest.None,
		"JSESSIONID=0123.":                          pooltest.None,
		"JSESSIONID=0123.d":                         pooltest.None,
		"JSESSIONID=0123.A":                         pooltest.None,
		"JSESSIONID=0123.a ; x=y":                   pooltest.Dial(0),
		"JSESSIONID=":                               pooltest.None,
		"JSESSIONID=1.a; JSESSIONID=1.b":            pooltest.Dial(0), // of two paths, the longer first
		"JSESSIONID=1.x; JSESSIONID=1.b":            pooltest.Dial(1),
		"jsessionid=0123.a":                         pooltest.None,
		"SID=0123.a":                                pooltest.None,
		"JSESSIONID=" + strings.Repeat(".a", 1<<19): pooltest.Dial(0),
	} {
		expectRoute(t, h, "/", cookie, want)
	}
}

func TestRouteOfThePath(t *testing.T) {
	h := routing(t)
	for path, want := range map[string]string{
		"/app;jsessionid=0123.a":            pooltest.Dial(0),
		"/app;JSESSIONID=0123.b":            pooltest.Dial(1),
		"/app;jsessionid=0123.b/page":       pooltest.Dial(1),
		"/app;v=1;jsessionid=0123.c":        pooltest.Dial(2),
		"/app;jsessionid=0123.c;v=.a":       pooltest.Dial(2),
		"/app;v=1/page;jsessionid=0123.c":   pooltest.Dial(2),
		"/app;v=.a/jsessionid=0123.c":       pooltest.None,
		"/app/jsessionid=0123.a":            pooltest.None,
		"/app;jsessionid=0123.d":            pooltest.None,
		"/app;jsessionid=0123":              pooltest.None,
		"/app;jsessionid":                   pooltest.None,
		"/app;jsessionid/.a":                pooltest.None,
		"/;;;;/;=;=.a;":                     pooltest.None,
		"/app;xjsessionid=0123.a":           pooltest.None,
		strings.Repeat("/;", 1<<19) + ";a=": pooltest.None,
	} {
		expectRoute(t, h, path, "", want)
	}
	expectRoute(t, h, "/app;jsessionid=0123.a", "JSESSIONID=0123.b", pooltest.Dial(1))
	expectRoute(t, h, "/app;jsessionid=0123.a", "x=y", pooltest.Dial(0))
}

func TestRouteOfAnotherCookie(t *testing.T) {
	for name, test := range map[string]struct {
		options object
		cookie  string
		path    string
	}{
		"cookie": {object{"cookie": "SID"}, "SID=1.b", "/a;sid=1.b"},
		"learn":  {object{"learn": []string{"ONE", "TWO"}}, "ONE=1; TWO=1.b", "/a;two=1.b"},
	} {
		alone(t, name, func(t *testing.T) {
			h := routing(t, test.options)
			expectRoute(t, h, "/", test.cookie, pooltest.Dial(1))
			expectRoute(t, h, test.path, "", pooltest.Dial(1))
			for range 20 {
				if got := pooltest.Pick(h, h.Upstreams, newBrowser("JSESSIONID", "1.b").request()); got != pooltest.Dial(1) {
					return
				}
			}
			t.Error("JSESSIONID counts, though another one is named")
		})
	}
}

// A cookie that ends in no route may have been learned, and one of ours counts for
// more; who has none yet gets one.
func TestRouteAmongOtherWays(t *testing.T) {
	alone(t, "", func(t *testing.T) {
		h := routing(t, object{"cookie": "lb", "learn": []string{"SID"}})
		ours := settled(t, h, pooltest.Dial(2))
		pooltest.Script(pooltest.Dial(1), setting("SID=plain"))
		settled(t, h, pooltest.Dial(1))
		pooltest.Script(pooltest.Dial(1), nil)
		for range 20 {
			if got := newBrowser("SID", "plain").visit(t, h); got.by != pooltest.Dial(1) || len(got.set) != 1 {
				t.Fatalf("learned: %+v", got)
			}
			if got := newBrowser("SID", "plain.a").visit(t, h); got.by != pooltest.Dial(0) || len(got.set) != 1 {
				t.Fatalf("routed: %+v", got)
			}
			if got := newBrowser("SID", "plain.a", "lb", ours.cookies["lb"]).visit(t, h); got.by != pooltest.Dial(2) || len(got.set) > 0 {
				t.Fatalf("ours: %+v", got)
			}
		}
	})
}

// Several routes may lead to one upstream.
func TestTwoRoutesToOneUpstream(t *testing.T) {
	h := pooltest.NewScripted(t, sticky(object{"route": object{"old": pooltest.Dial(1), "new": pooltest.Dial(1)}}), 3)
	expectRoute(t, h, "/", "JSESSIONID=1.old", pooltest.Dial(1))
	expectRoute(t, h, "/", "JSESSIONID=1.new", pooltest.Dial(1))
}
