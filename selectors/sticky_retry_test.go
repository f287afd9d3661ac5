package selectors

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// counting returns an act that fails and counts.
func failing(n *int) pooltest.Act {
	return func(r *http.Request) (*http.Response, error) {
		*n++
		return pooltest.Refuse(r)
	}
}

// A request that fails is tried elsewhere, and the client learns of that alone.
func TestRetryMovesTheSession(t *testing.T) {
	forWays(t, func(t *testing.T, open opener) {
		h := open(4, nil)
		b := settled(t, h, pooltest.Dial(1))
		n := 0
		pooltest.Script(pooltest.Dial(1), failing(&n))
		got := b.visit(t, h)
		if got.by == pooltest.Dial(1) || got.by == pooltest.None || n != 1 || len(got.set) > 1 || len(got.header["X-Session"]) > 1 {
			t.Errorf("%d attempts: %+v", n, got)
		}
		pooltest.Script(pooltest.Dial(1), nil)
		expectStays(t, "later", h, b, got.by)
	})
}

// A new session, too, is with who has answered, however many were picked before.
func TestCookieNamesWhoHasAnswered(t *testing.T) {
	forWays(t, func(t *testing.T, open opener) {
		h := open(4, object{"retries": 3, "outlier_detection": object{"off": true}})
		for i := range 3 {
			pooltest.Script(pooltest.Dial(i), pooltest.Refuse)
		}
		for range 20 {
			b := newBrowser()
			got := b.visit(t, h)
			if got.by != pooltest.Dial(3) || len(got.set) > 1 || len(got.header["X-Session"]) > 1 {
				t.Fatalf("%+v", got)
			}
			expectStays(t, "later", h, b, pooltest.Dial(3))
		}
	})
}

// With nobody else left, the session is where it was, and that is no news.
func TestRetryOnTheOnlyUpstream(t *testing.T) {
	forWays(t, func(t *testing.T, open opener) {
		h := open(1, object{"outlier_detection": object{"off": true}})
		b := settled(t, h, pooltest.Dial(0))
		n := 0
		pooltest.Script(pooltest.Dial(0), func(r *http.Request) (*http.Response, error) {
			if n++; n%3 > 0 {
				return pooltest.Refuse(r)
			}
			return pooltest.Answer(http.StatusOK)(r)
		})
		expectStays(t, "at the third attempt", h, b, pooltest.Dial(0))
		if n != 30 {
			t.Errorf("%d attempts", n)
		}
	})
}

func TestStrictRetryGoesToTheSame(t *testing.T) {
	forWays(t, func(t *testing.T, open opener) {
		h := open(4, object{"strict": true, "retries": 3, "outlier_detection": object{"off": true}})
		b := settled(t, h, pooltest.Dial(1))
		n := 0
		pooltest.Script(pooltest.Dial(1), failing(&n))
		if got := b.visit(t, h); got.by != pooltest.None || n != 4 || len(got.set) > 0 {
			t.Errorf("%d attempts: %+v", n, got)
		}
		pooltest.Script(pooltest.Dial(1), nil)
		expectStays(t, "later", h, b, pooltest.Dial(1))
	})
}

func TestRetrySameKeepsTheSession(t *testing.T) {
	forWays(t, func(t *testing.T, open opener) {
		h := open(4, object{"retry_same": true})
		b := settled(t, h, pooltest.Dial(1))
		n := 0
		pooltest.Script(pooltest.Dial(1), failing(&n))
		if got := b.visit(t, h); got.by != pooltest.None || n != 3 || len(got.set) > 0 || got.header.Get(field) != "" {
			t.Errorf("%d attempts: %+v", n, got)
		}
	})
}

// The proxy may take the cookie or the header away on the way to an upstream; a
// retry goes by what the client has sent.
func TestRetryHeedsWhatTheClientSent(t *testing.T) {
	for name, way := range ways {
		for _, strict := range []bool{true, false} {
			alone(t, fmt.Sprintf("%s, strict %t", name, strict), func(t *testing.T) {
				pooltest.NewScripted(t, sticky(), 0) // so that acts end with the test
				options := object{"strict": strict, "retry_same": true, "outlier_detection": object{"off": true}}
				load := func(header object) *reverseproxy.Handler {
					return pooltest.LoadHandler(t, object{
						"load_balancing": object{"selection_policy": sticky(way(5), options)},
						"transport":      object{"protocol": "scripted"},
						"headers":        object{"request": header},
						"upstreams":      pooltest.Dials(5),
					})
				}
				for i := range 5 {
					pooltest.Script(pooltest.Dial(i), app(i))
				}
				b := settled(t, load(nil), pooltest.Dial(1))
				n := 0
				pooltest.Script(pooltest.Dial(1), func(r *http.Request) (*http.Response, error) {
					if r.Header.Get("Cookie") != "" || r.Header.Get(field) != "" {
						t.Error("the header was not changed")
					}
					return failing(&n)(r)
				})
				h := load(object{"delete": []string{"Cookie", field}})
				if got := b.visit(t, h); got.by != pooltest.None || n != 3 || len(got.set) > 0 {
					t.Errorf("%d attempts: %+v", n, got)
				}
			})
		}
	}
}

// What others have set on the response stays, be it the same field.
func TestOnlyOursIsTakenBack(t *testing.T) {
	h := pooltest.NewScripted(t, sticky(object{"header": field, "cookie": "lb", "outlier_detection": object{"off": true}}), 5)
	policy := h.LoadBalancing.SelectionPolicy
	r, w := newBrowser().request(), httptest.NewRecorder()
	w.Header().Add("Set-Cookie", "theirs=1")
	w.Header().Set("X-Theirs", "1")
	tokens := make(map[string]bool)
	for range 5 {
		u := policy.Select(h.Upstreams, r, w)
		w.Header().Add("Set-Cookie", "lb=theirs")
		set := w.Header()["Set-Cookie"]
		if len(w.Header()) != 4 || set[0] != "theirs=1" || len(w.Header()[field]) != 1 || len(w.Header()["Cache-Control"]) != 1 {
			t.Fatalf("%v", w.Header())
		}
		token := w.Header().Get(field)
		if n := len(slices.DeleteFunc(slices.Clone(set), func(line string) bool {
			return line != "lb="+token+"; Path=/; HttpOnly; SameSite=Lax"
		})); n != 1 {
			t.Errorf("%s is there %d times: %v", token, n, set)
		}
		tokens[token] = true
		pooltest.Script(u.Dial, pooltest.Refuse)
		pooltest.Attempt(h, r, u)
	}
	if len(tokens) != 5 {
		t.Errorf("%v", tokens)
	}
}

// A client may send its cookies in several lines; a retry knows them, too, and so
// does what is learned.
func TestCookiesInSeveralLines(t *testing.T) {
	several := func(r *http.Request) {
		cookies := r.Header.Get("Cookie")
		r.Header["Cookie"] = []string{"a=1", cookies, "b=2"}
	}
	for _, way := range []string{"cookie", "learned", "routed"} {
		alone(t, way, func(t *testing.T) {
			h := pooltest.NewScripted(t, sticky(ways[way](5), object{"strict": true, "outlier_detection": object{"off": true}}), 5)
			for i := range 5 {
				pooltest.Script(pooltest.Dial(i), app(i))
			}
			b := settled(t, h, pooltest.Dial(1))
			n := 0
			pooltest.Script(pooltest.Dial(1), failing(&n))
			if got := b.clone().visit(t, h, several); got.by != pooltest.None || n != 3 {
				t.Errorf("%d attempts: %+v", n, got)
			}
		})
	}
	alone(t, "accepted", func(t *testing.T) {
		h, sid := learning(t, 5)
		by := holder(sid).visit(t, h, several).by
		expectKnown(t, "accepted", h, sid, by)
	})
}

// After the last attempt, too, a client is not sent to who has failed.
func TestWhoHasFailedIsNotToldToTheClient(t *testing.T) {
	for way := range ways {
		alone(t, way, func(t *testing.T) {
			h := pooltest.NewScripted(t, sticky(ways[way](3), object{"outlier_detection": object{"off": true}}), 3)
			for i := range 3 {
				pooltest.Script(pooltest.Dial(i), pooltest.Refuse)
			}
			if got := newBrowser().visit(t, h); got.by != pooltest.None || len(got.set) > 0 || got.header.Get(field) != "" {
				t.Errorf("%+v", got)
			}
		})
	}
}
