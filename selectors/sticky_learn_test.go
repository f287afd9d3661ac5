package selectors

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// setting is to answer 200 and to set these cookies.
func setting(cookies ...string) pooltest.Act {
	return func(r *http.Request) (*http.Response, error) {
		res, err := pooltest.Answer(http.StatusOK)(r)
		res.Header["Set-Cookie"] = cookies
		return res, err
	}
}

// learning provisions a handler of n upstreams that learns from the cookie SID. Each
// test has sessions of its own, for what is learned outlives a test.
func learning(t *testing.T, n int, options ...object) (h *reverseproxy.Handler, sid string) {
	t.Helper()
	return pooltest.NewScripted(t, sticky(append(options, object{"learn": []string{"SID"}})...), n), fmt.Sprint("s", sessions.Add(1))
}

// holder returns a browser that has the cookie, and has not been anywhere.
func holder(sid string) *browser { return newBrowser("SID", sid) }

// expectForgotten expects that the session is a new one.
func expectForgotten(t *testing.T, when string, h *reverseproxy.Handler, sid string) {
	t.Helper()
	got := make(map[string]int)
	for range 40 {
		// What goes unanswered is not learned.
		got[pooltest.Pick(h, h.Upstreams, holder(sid).request())]++
	}
	if len(got) < 2 || got[pooltest.None] > 0 {
		t.Errorf("%s: %v", when, got)
	}
}

// expectKnown expects that the session is with the upstream.
func expectKnown(t *testing.T, when string, h *reverseproxy.Handler, sid, address string) {
	t.Helper()
	for range 20 {
		if got := pooltest.Pick(h, h.Upstreams, holder(sid).request()); got != address {
			t.Fatalf("%s: %s, want %s", when, got, address)
		}
	}
}

func TestSessionIsLearnedFromWhoSetsIt(t *testing.T) {
	for name, test := range map[string]struct {
		set  string
		sent string // as clients send it back
	}{
		"plain":           {"SID=%s", "%s"},
		"with attributes": {"SID=%s; Path=/; HttpOnly; Max-Age=60", "%s"},
		"that expires":    {"SID=%s; Expires=Fri, 31 Dec 2100 23:59:59 GMT", "%s"},
		"with an equals":  {"SID=%s==", "%s=="},
		"with spaces":     {" SID=%s ; Path=/", "%s"},
		"quoted":          {`SID="%s"; Path=/`, `"%s"`},
	} {
		alone(t, name, func(t *testing.T) {
			h, sid := learning(t, 4)
			sent := fmt.Sprintf(test.sent, sid)
			expectForgotten(t, "before", h, sent)
			pooltest.Script(pooltest.Dial(2), setting("other=1; Path=/", fmt.Sprintf(test.set, sid)))
			settled(t, h, pooltest.Dial(2))
			expectKnown(t, "after", h, sent, pooltest.Dial(2))
			expectForgotten(t, "of another client", h, sent+"x")
		})
	}
}

// Upstreams may share their sessions: a session is with whom it was last, and what
// none has set is learned when it is accepted.
func TestSessionIsLearnedFromWhoAcceptsIt(t *testing.T) {
	alone(t, "", func(t *testing.T) {
		h, sid := learning(t, 4, pooltest.Checked)
		by := holder(sid).visit(t, h).by
		expectKnown(t, "accepted", h, sid, by)
		pooltest.SetDown(by)
		next := holder(sid).visit(t, h).by
		if next == by || next == pooltest.None {
			t.Fatalf("%s is down, yet %s", by, next)
		}
		pooltest.SetDown()
		expectKnown(t, "both are up", h, sid, next)
	})
}

func TestSessionThatIsOver(t *testing.T) {
	for name, cookie := range map[string]string{
		"empty":             "SID=; Path=/",
		"age 0":             "SID=x; Max-Age=0",
		"negative age":      "SID=x; Max-Age=-1",
		"expired":           "SID=x; Expires=Thu, 01 Jan 1970 00:00:01 GMT",
		"expired and empty": `SID=""; Expires=Thu, 01-Jan-1970 00:00:01 GMT`,
	} {
		alone(t, name, func(t *testing.T) {
			h, sid := learning(t, 4)
			by := holder(sid).visit(t, h).by
			expectKnown(t, "before", h, sid, by)
			pooltest.Script(by, setting(cookie))
			holder(sid).visit(t, h)
			expectForgotten(t, "after", h, sid)
		})
	}
	alone(t, "replaced", func(t *testing.T) {
		h, sid := learning(t, 4)
		by := holder(sid).visit(t, h).by
		pooltest.Script(by, setting("SID="+sid+"new"))
		b := holder(sid)
		b.visit(t, h)
		expectKnown(t, "under its new name", h, b.cookies["SID"], by)
	})
	alone(t, "an age counts more than a date", func(t *testing.T) {
		h, sid := learning(t, 4)
		pooltest.Script(pooltest.Dial(1), setting("SID="+sid+"; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:01 GMT"))
		settled(t, h, pooltest.Dial(1))
		expectKnown(t, "it goes on", h, sid, pooltest.Dial(1))
	})
}

func TestLearnedSessionsAgeByTheirUse(t *testing.T) {
	for name, test := range map[string]struct {
		options object
		age     time.Duration
	}{
		"by default": {nil, time.Hour},
		"max_age":    {object{"max_age": "5m"}, 5 * time.Minute},
	} {
		alone(t, name, func(t *testing.T) {
			h, sid := learning(t, 4, test.options)
			by := holder(sid).visit(t, h).by
			for range 5 {
				time.Sleep(test.age)
				expectKnown(t, "used in time", h, sid, by)
			}
			time.Sleep(test.age + time.Second)
			expectForgotten(t, "not used in time", h, sid)
		})
	}
}

func TestLearnedSessionsOutliveAReload(t *testing.T) {
	alone(t, "", func(t *testing.T) {
		h, sid := learning(t, 4)
		by := holder(sid).visit(t, h).by
		after := pooltest.NewScripted(t, sticky(object{"learn": []string{"SID"}, "strict": true}), 4)
		expectKnown(t, "reloaded", after, sid, by)
	})
}

// One cookie may be for several pools of upstreams, each of which has its own part
// in the session.
func TestLearnedSessionOfTwoPools(t *testing.T) {
	alone(t, "", func(t *testing.T) {
		h, sid := learning(t, 4)
		at := holder(sid).visit(t, h).by
		pooltest.Isolate()
		other := pooltest.NewScripted(t, sticky(object{"learn": []string{"SID"}}), 4)
		there := holder(sid).visit(t, other).by
		expectKnown(t, "the first one", h, sid, at)
		expectKnown(t, "the other one", other, sid, there)
	})
}

func TestSeveralLearnedCookies(t *testing.T) {
	alone(t, "", func(t *testing.T) {
		h := pooltest.NewScripted(t, sticky(object{"learn": []string{"ONE", "TWO"}}), 4)
		name := fmt.Sprint("s", sessions.Add(1))
		pooltest.Script(pooltest.Dial(1), setting("ONE="+name))
		settled(t, h, pooltest.Dial(1))
		pooltest.Script(pooltest.Dial(1), nil)
		pooltest.Script(pooltest.Dial(2), setting("TWO="+name, "ONE=1; Max-Age=0"))
		settled(t, h, pooltest.Dial(2))
		for cookies, want := range map[[4]string]string{
			{"ONE", name}:                pooltest.Dial(1),
			{"TWO", name}:                pooltest.Dial(2),
			{"ONE", name, "TWO", name}:   pooltest.Dial(1),
			{"ONE", "no", "TWO", name}:   pooltest.Dial(2),
			{"ONE", name, "TWO", "none"}: pooltest.Dial(1),
		} {
			for range 20 {
				b := newBrowser(cookies[:]...)
				delete(b.cookies, "")
				if got := pooltest.Pick(h, h.Upstreams, b.request()); got != want {
					t.Fatalf("%v: %s, want %s", cookies, got, want)
				}
			}
		}
	})
}

// What comes twice, or is longer than any session, is not learned.
func TestWhatIsNoSessionIsNotLearned(t *testing.T) {
	alone(t, "", func(t *testing.T) {
		h, sid := learning(t, 4)
		long := make([]byte, 1<<20)
		for i := range long {
			long[i] = 'A'
		}
		pooltest.Script(pooltest.Dial(1), setting("SID="+string(long)))
		settled(t, h, pooltest.Dial(1))
		expectForgotten(t, "a megabyte", h, string(long))
		pooltest.Script(pooltest.Dial(1), setting("SID=\x00\x01", "SID", "=SID", "", "SIDE="+sid, "sid="+sid))
		settled(t, h, pooltest.Dial(1))
		expectForgotten(t, "of other names", h, sid)
		twice := func() *http.Request { return holder(sid + "; SID=" + sid).request() }
		for range 20 {
			r := holder("x")
			r.visit(t, h, func(r *http.Request) { r.Header = twice().Header })
		}
		expectForgotten(t, "twice", h, sid)
	})
}

// Of several the last one counts, as with clients.
func TestLastOfSeveralIsLearned(t *testing.T) {
	alone(t, "", func(t *testing.T) {
		h, sid := learning(t, 4)
		pooltest.Script(pooltest.Dial(1), setting("SID="+sid+"1", "SID="+sid+"2"))
		settled(t, h, pooltest.Dial(1))
		expectForgotten(t, "the first", h, sid+"1")
		expectKnown(t, "the last", h, sid+"2", pooltest.Dial(1))
	})
}

// A secret is there to sign: with one, clients get a cookie of ours as well.
func TestSecretBesideOtherWaysSigns(t *testing.T) {
	for name, options := range map[string]func() object{
		"learn":          func() object { return object{"learn": []string{"SID"}} },
		"route":          func() object { return object{"route": object{"a": pooltest.Dial(0)}} },
		"route of a SID": func() object { return object{"cookie": "SID", "route": object{"a": pooltest.Dial(0)}} },
	} {
		alone(t, name, func(t *testing.T) {
			h := pooltest.NewScripted(t, sticky(options(), object{"secret": []string{secret}}), 4)
			b := newBrowser()
			first := b.visit(t, h)
			if len(first.set) != 1 || first.set[0].Name != "lb" {
				t.Fatalf("%+v", first)
			}
			expectStays(t, "by our cookie", h, b, first.by)
		})
	}
}
