package selectors

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// What a Caddyfile cannot say, or says elsewhere, JSON may.
func TestBadOptionsInJSON(t *testing.T) {
	for want, options := range map[string]object{
		"'a b' is not the name of a cookie":                                                          {"cookie": "a b"},
		"'a=b' is not the name of a cookie":                                                          {"cookie": "a=b"},
		"'ä' is not the name of a cookie":                                                            {"cookie": "ä"},
		"'a;b' is not the name of a cookie":                                                          {"learn": []string{"a;b"}},
		"'' is not the name of a cookie":                                                             {"learn": []string{""}},
		"'a,b' is not the name of a cookie":                                                          {"cookie": "a,b", "route": object{"a": pooltest.Dial(0)}},
		"learn: 'SID' is the name of our own cookie":                                                 {"cookie": "SID", "learn": []string{"SID"}},
		"path: 'app' does not begin with a slash":                                                    {"path": "app"},
		"path or domain: ":                                                                           {"path": "/a;b"},
		"path or domain: invalid Cookie.Domain":                                                      {"domain": "exa mple.com"},
		`path or domain: invalid byte '\n' in Cookie.Path`:                                           {"path": "/\n"},
		"max_age: -1s is not above zero and at most ten years":                                       {"max_age": "-1s"},
		"max_age: 500ms is not in whole seconds":                                                     {"max_age": "500ms"},
		"max_age: 1.5s is not in whole seconds":                                                      {"max_age": "1.5s"},
		"max_age: 96000h0m0s is not above":                                                           {"max_age": "96000h"},
		"same_site: 'some' is none of lax, strict and none":                                          {"same_site": "some"},
		"same_site: none needs secure":                                                               {"same_site": "none"},
		"partitioned needs secure":                                                                   {"partitioned": true},
		"a cookie whose name begins with __Secure- needs secure":                                     {"cookie": "__Secure-lb"},
		"a cookie whose name begins with __Host- needs secure, the path / and no domain":             {"cookie": "__Host-lb"},
		"name begins with __Host- needs secure, the path / and no domain":                            {"cookie": "__Host-lb", "secure": true, "path": "/app"},
		"begins with __Host- needs secure, the path / and no domain":                                 {"cookie": "__host-lb", "secure": true, "domain": "example.com"},
		"header: 'X Session' is not the name of a header field":                                      {"header": "X Session"},
		"path: no cookie is set where header, learn or route is used without the name of one":        {"header": field, "path": "/app"},
		"domain: no cookie is set where header, learn or route is used without the name of one":      {"learn": []string{"SID"}, "domain": "example.com"},
		"max_age: no cookie is set where header, learn or route is used without the name of one":     {"header": field, "max_age": "1h"},
		"secure: no cookie is set where header, learn or route is used without the name of one":      {"header": field, "secure": true},
		"same_site: no cookie is set where header, learn or route is used without the name of one":   {"route": object{"a": pooltest.Dial(0)}, "same_site": "lax"},
		"partitioned: no cookie is set where header, learn or route is used without the name of one": {"header": field, "partitioned": true},
		"header: Set-Cookie has a meaning of its own":                                                {"header": "set-cookie"},
		"learn: duplicate 'SID'":                                                                     {"learn": []string{"SID", "SID"}},
		"number 2 has a placeholder without a value":                                                 {"secret": []string{secret, "a{b}c"}},
		"route: '' is not the name of a route":                                                       {"route": object{"": pooltest.Dial(0)}},
		"route: 'a.b' is not the name of a route":                                                    {"route": object{"a.b": pooltest.Dial(0)}},
		"route a: no upstream is '192.0.2.1:80'":                                                     {"route": object{"a": "192.0.2.1:80"}},
		"route a: ":                                                                                  {"route": object{"a": ""}},
		"is more than one upstream":                                                                  {"route": object{"a": "0.0.0.0/0"}},
		"fallback: ":                                                                                 {"fallback": object{"policy": "none_of_these"}},
		"fallback: loading module 'rendezvous'":                                                      {"fallback": object{"policy": "rendezvous"}},
		"weight: options that every policy has belong to the outer policy":                           {"fallback": object{"policy": "weighted_random", "weights": object{pooltest.Dial(0): 2}}},
		"no_such_option": {"no_such_option": 1},
	} {
		t.Run(want, func(t *testing.T) {
			_, err := pooltest.TryHandler(t, object{
				"load_balancing": object{"selection_policy": sticky(options)},
				"upstreams":      pooltest.Dials(2),
			})
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v", err)
			}
		})
	}
}

// parseSticky parses the policy.
func parseSticky(text string) (*Sticky, error) {
	p := new(Sticky)
	return p, p.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
}

// Defaults are not written into the configuration, where they would be taken for
// somebody's wish.
func TestDefaultsAreNotParsed(t *testing.T) {
	for _, text := range []string{"sticky", "sticky {\n\theader x-session\n}", "sticky {\n\troute a 10.0.0.1\n}"} {
		p, err := parseSticky(text)
		if err != nil {
			t.Fatal(err)
		}
		if p.Cookie != "" || p.Path != "" || p.Header == "X-Session" || p.SameSite != "" {
			t.Errorf("%s: %+v", text, p)
		}
	}
}

// An error of what options are together is one of the policy's line.
func TestErrorsOfOptionsTogetherNameTheLine(t *testing.T) {
	for options, want := range map[string]string{
		"same_site none":                     "sticky: same_site: none needs secure, at Testfile:1",
		"partitioned":                        "sticky: partitioned needs secure, at Testfile:1",
		"header X-A\n\tmax_age 1h":           "sticky: max_age: no cookie is set where",
		"learn lb\n\tlearn SID\n\tdomain .a": "sticky: domain: no cookie is set where",
	} {
		if _, err := parseSticky("sticky {\n\t" + options + "\n}"); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", options, err)
		}
	}
}
