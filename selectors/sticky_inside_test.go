package selectors

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// around are policies that sticky may be inside of, and that leave the response to
// those inside.
var around = map[string]func(inside object) object{
	"managed": func(inside object) object { return object{"policy": "managed", "inner": inside} },
	"managed twice": func(inside object) object {
		return object{"policy": "managed", "inner": object{"policy": "managed", "inner": inside}}
	},
	"rendezvous": func(inside object) object {
		return object{"policy": "rendezvous", "key": "{http.request.header.X-None}", "fallback": inside}
	},
	"sticky": func(inside object) object {
		return object{"policy": "sticky", "cookie": "outer", "fallback": inside}
	},
}

// inside runs a test for each way inside of each policy. The options are those
// that every policy has, which are the outer one's.
func inside(t *testing.T, test func(t *testing.T, open opener)) {
	for name, outer := range around {
		t.Run(name, func(t *testing.T) {
			for way, config := range ways {
				alone(t, way, func(t *testing.T) {
					test(t, func(n int, options object, upstreams ...object) *reverseproxy.Handler {
						policy := outer(sticky(config(n)))
						for k, v := range options {
							policy[k] = v
						}
						h := pooltest.NewScripted(t, policy, n, upstreams...)
						for i := range n {
							if way == "learned" || way == "routed" {
								pooltest.Script(pooltest.Dial(i), app(i))
							}
						}
						return h
					})
				})
			}
		})
	}
}

// forget has the browser forget where the outer policy had it.
func (b *browser) forget() *browser {
	delete(b.cookies, "outer")
	return b
}

func TestStickyInsideOneOfOurs(t *testing.T) {
	inside(t, func(t *testing.T, open opener) {
		h := open(4, pooltest.Checked)
		b := settled(t, h, pooltest.Dial(1))
		for range 20 {
			if got := b.forget().visit(t, h); got.by != pooltest.Dial(1) {
				t.Fatalf("%+v", got)
			}
		}
		before := b.clone()
		pooltest.SetDown(pooltest.Dial(1))
		got := b.forget().visit(t, h)
		for range 20 {
			if again := b.forget().visit(t, h); again.by != got.by || got.by == pooltest.Dial(1) || got.by == pooltest.None {
				t.Fatalf("it is down: %+v, then %+v", got, again)
			}
		}
		pooltest.SetDown()
		n := 0
		pooltest.Script(pooltest.Dial(1), failing(&n))
		got = before.forget().clone().visit(t, h)
		if got.by == pooltest.Dial(1) || got.by == pooltest.None || n != 1 {
			t.Errorf("%d attempts: %+v", n, got)
		}
		named := make(map[string]int)
		for _, c := range got.set {
			if named[c.Name]++; named[c.Name] > 1 {
				t.Errorf("set twice: %v", got.set)
			}
		}
	})
}

// The outer policy says who there is to pick from: nobody who is drained, and
// nobody of another level.
func TestStickyInsideIsHeldToTheCandidates(t *testing.T) {
	inside(t, func(t *testing.T, open opener) {
		h := open(4, pooltest.Reporting)
		b := settled(t, h, pooltest.Dial(1))
		pooltest.Report(pooltest.Dial(1), healthcheck.Report{Order: healthcheck.Order{Mode: healthcheck.Drain}})
		got := b.forget().visit(t, h)
		if got.by == pooltest.Dial(1) || got.by == pooltest.None {
			t.Errorf("it is drained: %+v", got)
		}
		if again := b.forget().visit(t, h); again.by != got.by {
			t.Errorf("%+v, then %+v", got, again)
		}
	})
}

func TestStrictInsideOneOfOurs(t *testing.T) {
	alone(t, "", func(t *testing.T) {
		strict := sticky(object{"strict": true})
		h := pooltest.NewScripted(t, object{
			"policy": "managed", "inner": strict, "priorities": object{pooltest.Dial(2): 1, pooltest.Dial(3): 1}, "health_checks": pooltest.Checked["health_checks"],
		}, 4)
		b := settled(t, h, pooltest.Dial(1))
		other := settled(t, pooltest.NewScripted(t, sticky(), 4), pooltest.Dial(3)) // at a level that nobody needs
		if got := other.visit(t, h); got.by != pooltest.Dial(3) {
			t.Errorf("at the next level: %+v", got)
		}
		pooltest.SetDown(pooltest.Dial(1))
		if got := b.visit(t, h); got.by != pooltest.None || got.status != 503 || len(got.set) > 0 {
			t.Errorf("%+v", got)
		}
		pooltest.SetDown()
		expectStays(t, "it is back", h, b, pooltest.Dial(1))
	})
}

// Caddy's own policies have no response for those inside, which can tell nobody;
// but a session that is known is met.
func TestStickyInsideOneOfCaddys(t *testing.T) {
	for name, outer := range map[string]func(inside object) object{
		"header": inHeader,
		"header inside managed": func(inside object) object {
			return object{"policy": "managed", "inner": inHeader(inside)}
		},
	} {
		for way, config := range ways {
			alone(t, name+"/"+way, func(t *testing.T) {
				open := pooltest.NewScripted(t, sticky(config(4)), 4)
				playAll := func() {
					for i := range 4 {
						pooltest.Script(pooltest.Dial(i), nil)
						if way == "learned" || way == "routed" {
							pooltest.Script(pooltest.Dial(i), app(i))
						}
					}
				}
				playAll()
				b := settled(t, open, pooltest.Dial(1))
				policy := outer(sticky(config(4)))
				if name == "header" {
					policy = outer(sticky(config(4), pooltest.Checked))
				} else {
					policy["health_checks"] = pooltest.Checked["health_checks"]
				}
				h := pooltest.NewScripted(t, policy, 4)
				playAll()
				home := pooltest.Dial(1)
				if way == "learned" { // by another pool, so that this one learns it from the next answer
					home = b.visit(t, h).by
				}
				for range 20 {
					if got := b.visit(t, h); got.by != home {
						t.Fatalf("%+v", got)
					}
				}
				if got := newcomers(t, h, 100); len(got) != 4 || got[pooltest.None] > 0 {
					t.Errorf("new sessions go to %v", got)
				}
				if got := h.LoadBalancing.SelectionPolicy.Select(h.Upstreams, b.request(), nil); got == nil || got.Dial != home {
					t.Errorf("picked %v", got)
				}
				before := b.clone()
				pooltest.SetDown(home)
				for range 20 {
					if got := before.clone().visit(t, h); got.by == home || got.by == pooltest.None {
						t.Fatalf("it is down: %+v", got)
					}
				}
				pooltest.SetDown()
				n := 0
				pooltest.Script(home, failing(&n))
				if got := b.clone().visit(t, h); got.by == home || got.by == pooltest.None || n != 1 {
					t.Errorf("%d attempts: %+v", n, got)
				}
			})
		}
	}
}

// Two policies of one request keep what they set apart.
func TestTwoHandlersOfOneRequest(t *testing.T) {
	first := pooltest.NewScripted(t, sticky(object{"cookie": "a"}), 3)
	second := pooltest.NewScripted(t, sticky(object{"cookie": "b", "fallback": object{"policy": "first"}}), 3)
	r, w := newBrowser().request(), httptest.NewRecorder()
	for range 3 {
		for _, h := range []*reverseproxy.Handler{first, second} {
			if h.LoadBalancing.SelectionPolicy.Select(h.Upstreams, r, w) == nil {
				t.Fatal("nothing picked")
			}
		}
	}
	set := (&http.Response{Header: w.Header()}).Cookies()
	if len(set) != 2 || set[0].Name != "a" || set[1].Name != "b" {
		t.Errorf("%v", set)
	}
}
