package selectors

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

func TestSessionStaysWhereItIs(t *testing.T) {
	forWays(t, func(t *testing.T, open opener) {
		h := open(5, nil)
		for range 20 {
			b := newBrowser()
			got := b.visit(t, h)
			if len(got.set) > 1 || len(got.set) == 0 && got.header.Get(field) == "" {
				t.Fatalf("at first: %+v", got)
			}
			expectStays(t, "later", h, b, got.by)
		}
		if got := newcomers(t, h, 500); len(got) != 5 {
			t.Errorf("new sessions go to %v", got)
		}
	})
}

// The same for all clients of an upstream, and nothing to tell its address by.
func TestTokenRevealsNothing(t *testing.T) {
	h := pooltest.NewScripted(t, sticky(), 3)
	tokens := make(map[string]string)
	for range 100 {
		b := newBrowser()
		by := b.visit(t, h).by
		token := b.cookies["lb"]
		if tokens[by] == "" {
			tokens[by] = token
		}
		if token != tokens[by] || len(token) != 22 {
			t.Errorf("%s is both %s and %s", by, token, tokens[by])
		}
		if raw, err := base64.RawURLEncoding.DecodeString(token); err != nil || strings.Contains(string(raw), by) ||
			strings.Contains(token, by) || strings.Contains(token, hex.EncodeToString([]byte(by))) {
			t.Errorf("%s reveals %s", token, by)
		}
	}
	if len(tokens) != 3 || tokens[pooltest.Dial(0)] == tokens[pooltest.Dial(1)] || tokens[pooltest.Dial(1)] == tokens[pooltest.Dial(2)] {
		t.Errorf("%v", tokens)
	}
}

func TestCookieOptions(t *testing.T) {
	for name, test := range map[string]struct {
		options object
		want    http.Cookie
	}{
		"none":        {object{}, http.Cookie{Name: "lb", Path: "/", SameSite: http.SameSiteLaxMode}},
		"cookie":      {object{"cookie": "at"}, http.Cookie{Name: "at", Path: "/", SameSite: http.SameSiteLaxMode}},
		"path":        {object{"path": "/app"}, http.Cookie{Name: "lb", Path: "/app", SameSite: http.SameSiteLaxMode}},
		"domain":      {object{"domain": "example.com"}, http.Cookie{Name: "lb", Path: "/", Domain: "example.com", SameSite: http.SameSiteLaxMode}},
		"max_age":     {object{"max_age": "2h"}, http.Cookie{Name: "lb", Path: "/", MaxAge: 7200, SameSite: http.SameSiteLaxMode}},
		"secure":      {object{"secure": true}, http.Cookie{Name: "lb", Path: "/", Secure: true, SameSite: http.SameSiteLaxMode}},
		"same_site":   {object{"same_site": "strict"}, http.Cookie{Name: "lb", Path: "/", SameSite: http.SameSiteStrictMode}},
		"any site":    {object{"same_site": "None", "secure": true}, http.Cookie{Name: "lb", Path: "/", Secure: true, SameSite: http.SameSiteNoneMode}},
		"partitioned": {object{"partitioned": true, "secure": true}, http.Cookie{Name: "lb", Path: "/", Secure: true, Partitioned: true, SameSite: http.SameSiteLaxMode}},
		"of the host": {object{"cookie": "__Host-lb", "secure": true}, http.Cookie{Name: "__Host-lb", Path: "/", Secure: true, SameSite: http.SameSiteLaxMode}},
		"beside another way": {object{"cookie": "at", "header": field, "learn": []string{"SID"}, "route": object{"a": pooltest.Dial(0)}},
			http.Cookie{Name: "at", Path: "/", SameSite: http.SameSiteLaxMode}},
	} {
		t.Run(name, func(t *testing.T) {
			h := pooltest.NewScripted(t, sticky(test.options), 3)
			b := newBrowser()
			got := b.visit(t, h)
			if len(got.set) != 1 {
				t.Fatalf("%+v", got)
			}
			want := test.want
			want.HttpOnly, want.Value = true, b.cookies[want.Name]
			if set := got.set[0].String(); set != want.String() || want.Value == "" {
				t.Errorf("set %s\nwant %s", set, want.String())
			}
			expectStays(t, "later", h, b, got.by)
		})
	}
}

func TestSecureWhereTheClientUsesTLS(t *testing.T) {
	tlsTo := func(r *http.Request) { r.TLS = new(tls.ConnectionState) }
	by := func(trusted bool, proto string) func(r *http.Request) {
		return func(r *http.Request) {
			caddyhttp.SetVar(r.Context(), caddyhttp.TrustedProxyVarKey, trusted)
			r.Header.Set("X-Forwarded-Proto", proto)
		}
	}
	h := pooltest.NewScripted(t, sticky(), 3)
	for name, test := range map[string]struct {
		change func(*http.Request)
		want   bool
	}{
		"neither":                        {func(*http.Request) {}, false},
		"TLS":                            {tlsTo, true},
		"TLS to a proxy that is trusted": {by(true, "https"), true},
		"in capitals":                    {by(true, "HTTPS"), true},
		"none to a proxy":                {by(true, "http"), false},
		"TLS to anybody":                 {by(false, "https"), false},
	} {
		r, w := newBrowser().request(), httptest.NewRecorder()
		test.change(r) // and no proxy changes that
		h.LoadBalancing.SelectionPolicy.Select(h.Upstreams, r, w)
		set := w.Result().Cookies()
		if len(set) != 1 || set[0].Secure != test.want || set[0].SameSite != http.SameSiteLaxMode {
			t.Errorf("%s: %v", name, set)
		}
	}
}

// The proxy changes headers on the way to an upstream; the client still uses TLS.
func TestRenewedCookieIsAsSecure(t *testing.T) {
	alone(t, "", func(t *testing.T) {
		pooltest.NewScripted(t, sticky(), 0) // so that acts end with the test
		h := pooltest.LoadHandler(t, object{
			"load_balancing": object{"selection_policy": sticky()},
			"transport":      object{"protocol": "scripted"},
			"headers":        object{"request": object{"delete": []string{"X-Forwarded-*"}}},
			"upstreams":      pooltest.Dials(2),
		})
		b := settled(t, h, pooltest.Dial(0))
		pooltest.Script(pooltest.Dial(0), pooltest.Refuse)
		got := b.visit(t, h, func(r *http.Request) {
			caddyhttp.SetVar(r.Context(), caddyhttp.TrustedProxyVarKey, true)
			r.Header.Set("X-Forwarded-Proto", "https")
		})
		if got.by != pooltest.Dial(1) || len(got.set) != 1 || !got.set[0].Secure {
			t.Errorf("%+v", got)
		}
	})
}

// Whatever else a client sends in place of a token is a new session.
func TestWhatIsNoTokenIsANewSession(t *testing.T) {
	alone(t, "", func(t *testing.T) {
		h := pooltest.NewScripted(t, sticky(), 4)
		token := settled(t, h, pooltest.Dial(0)).cookies["lb"]
		elsewhere := pooltest.NewScripted(t, object{"policy": "sticky", "secret": []string{"another one, as long as it"}}, 4)
		for name, cookie := range map[string]string{
			"empty":                 "lb=",
			"no value":              "lb",
			"an address":            "lb=" + pooltest.Dial(0),
			"of another secret":     "lb=" + settled(t, elsewhere, pooltest.Dial(0)).cookies["lb"],
			"of another address":    "lb=" + signer{[]byte(secret)}.token("10.255.255.255:80"),
			"of no address":         "lb=" + signer{[]byte(secret)}.token(""),
			"in capitals":           "lb=" + strings.ToUpper(token),
			"cut off":               "lb=" + token[:21],
			"longer":                "lb=" + token + "A",
			"with another last bit": "lb=" + token[:21] + string(token[21]+1),
			"of another name":       "LB=" + token,
			"of a longer name":      "xlb=" + token,
			"twice":                 "lb=" + token + "; lb=" + token,
			"twice, once wrong":     "lb=" + token + "; lb=x",
			"a megabyte":            "lb=" + strings.Repeat("A", 1<<20),
			"a megabyte of tokens":  "lb=" + strings.Repeat(token, 1<<20/22),
			"a megabyte of cookies": strings.Repeat("lb=; ", 1<<20/5),
			"not even text":         "lb=\x00\xff; \xfe\x80=\x01;;;=;=\n",
		} {
			got := make(map[string]int)
			for range 40 {
				s := newBrowser().visit(t, h, func(r *http.Request) { r.Header.Set("Cookie", cookie) })
				got[s.by]++
				if len(s.set) != 1 || s.set[0].Name != "lb" || len(s.set[0].Value) != 22 {
					t.Fatalf("%s: %+v", name, s)
				}
			}
			if len(got) < 2 || got[pooltest.None] > 0 {
				t.Errorf("%s: %v", name, got)
			}
		}
	})
}

func TestOtherCookiesDoNotMatter(t *testing.T) {
	h := pooltest.NewScripted(t, sticky(), 4)
	b := settled(t, h, pooltest.Dial(2))
	b.cookies["a"], b.cookies["lbx"], b.cookies["z"] = "1", "2", `"x=y, z"`
	expectStays(t, "among others", h, b, pooltest.Dial(2))
	r := b.request()
	r.Header["Cookie"] = []string{"a=1", "b=2;lb=" + b.cookies["lb"], ";"}
	if got := pooltest.Pick(h, h.Upstreams, r); got != pooltest.Dial(2) {
		t.Errorf("in several lines: %s", got)
	}
}

func TestWithoutResponseOrRequest(t *testing.T) {
	forWays(t, func(t *testing.T, open opener) {
		h := open(3, nil)
		b := settled(t, h, pooltest.Dial(1))
		policy := h.LoadBalancing.SelectionPolicy
		for range 20 {
			if u := policy.Select(h.Upstreams, b.request(), nil); u == nil || u.Dial != pooltest.Dial(1) {
				t.Fatalf("without a response: %v", u)
			}
		}
		w := httptest.NewRecorder()
		if policy.Select(h.Upstreams, nil, nil) == nil || policy.Select(h.Upstreams, nil, w) == nil ||
			policy.Select(h.Upstreams, new(http.Request), w) == nil {
			t.Error("without a request nobody is picked")
		}
	})
}
