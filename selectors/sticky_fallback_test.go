package selectors

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// Who meets new sessions is another policy's business, be it one of Caddy's.
func TestFallbackPicksForNewSessions(t *testing.T) {
	h := pooltest.NewScripted(t, sticky(object{"fallback": object{"policy": "first"}}), 3)
	if got := newcomers(t, h, 30); got[pooltest.Dial(0)] != 30 {
		t.Errorf("%v", got)
	}
	keyed := pooltest.NewScripted(t, sticky(object{"fallback": object{"policy": "rendezvous", "key": "{http.request.header.X-User}"}}), 3)
	first := newBrowser().visit(t, keyed, func(r *http.Request) { r.Header.Set("X-User", "a") })
	for range 20 {
		if got := newBrowser().visit(t, keyed, func(r *http.Request) { r.Header.Set("X-User", "a") }); got.by != first.by || len(got.set) != 1 {
			t.Errorf("%+v, at first %+v", got, first)
		}
	}
	if got := newcomers(t, keyed, 100); len(got) != 3 {
		t.Errorf("%v", got)
	}
}

// A policy of Caddy's inside may set a cookie of its own; that one, too, names who
// was picked last.
func TestFallbacksCookieIsTakenBackToo(t *testing.T) {
	alone(t, "", func(t *testing.T) {
		h := pooltest.NewScripted(t, sticky(object{"fallback": object{"policy": "cookie", "name": "theirs"}}), 3)
		pooltest.Script(pooltest.Dial(0), pooltest.Refuse)
		for range 40 {
			b := newBrowser()
			got := b.visit(t, h)
			if len(got.set) != 2 || got.set[0].Name == got.set[1].Name {
				t.Fatalf("%+v", got)
			}
			expectStays(t, "later", h, b, got.by)
			delete(b.cookies, "lb")
			if again := b.visit(t, h); again.by != got.by || len(again.set) != 1 {
				t.Errorf("by its cookie: %+v, before %+v", again, got)
			}
		}
	})
}

// A retry may have no need of the policy inside that was asked before, or find
// nobody; then what that one has set goes as well.
func TestFallbacksCookieGoesWithItsPick(t *testing.T) {
	for name, retry := range map[string]func(t *testing.T, h *reverseproxy.Handler) (want string){
		"the session is met": func(_ *testing.T, h *reverseproxy.Handler) string {
			pooltest.SetActive(h.Upstreams[0], 0)
			return pooltest.Dial(0)
		},
		"nobody is left": func(*testing.T, *reverseproxy.Handler) string {
			pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1), pooltest.Dial(2))
			return pooltest.None
		},
	} {
		alone(t, name, func(t *testing.T) {
			h := pooltest.NewScripted(t, sticky(pooltest.Checked, object{"panic_threshold": 0, "fallback": object{"policy": "cookie", "name": "theirs"}}), 3,
				object{"max_requests": 1})
			b := settled(t, h, pooltest.Dial(0))
			delete(b.cookies, "theirs")
			pooltest.SetActive(h.Upstreams[0], 1)
			defer pooltest.SetActive(h.Upstreams[0], 0)
			r, w := b.request(), httptest.NewRecorder()
			policy := h.LoadBalancing.SelectionPolicy
			u := policy.Select(h.Upstreams, r, w)
			if u == nil || len(w.Header()["Set-Cookie"]) != 2 {
				t.Fatalf("picked %v, set %v", u, w.Header())
			}
			pooltest.Script(u.Dial, pooltest.Refuse)
			pooltest.Attempt(h, r, u)
			want, got := retry(t, h), pooltest.None
			if u := policy.Select(h.Upstreams, r, w); u != nil {
				got = u.Dial
			}
			if got != want || len(w.Header()["Set-Cookie"]) > 0 {
				t.Errorf("picked %s, set %v", got, w.Header())
			}
		})
	}
}

// The bound of a policy inside is for new sessions: those that are known count, and
// are met nevertheless.
func TestFallbackWithABound(t *testing.T) {
	alone(t, "", func(t *testing.T) {
		h := pooltest.NewScripted(t, sticky(object{"fallback": object{
			"policy": "rendezvous", "key": "{http.request.header.X-User}", "balance_factor": 101,
		}}), 4)
		newcomer := func() *http.Request {
			r := newBrowser().request()
			r.Header.Set("X-User", "a")
			return r
		}
		home := pooltest.Pick(h, h.Upstreams, newcomer())
		b := newBrowser("lb", signer{[]byte(secret)}.token(home))
		for range 40 {
			if got := pooltest.Pick(h, h.Upstreams, b.request()); got != home {
				t.Fatalf("its session is with %s, not %s", home, got)
			}
		}
		for range 20 {
			if got := pooltest.Pick(h, h.Upstreams, newcomer()); got == home || got == pooltest.None {
				t.Fatalf("a new session goes to %s, which has many", got)
			}
		}
	})
}
