package selectors

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// once returns what net/http says of a cookie that is to be there once.
func once(lines []string, name string) (value string, ok bool) {
	r := &http.Request{Header: http.Header{"Cookie": lines}}
	all := r.CookiesNamed(name)
	if len(all) != 1 {
		return "", false
	}
	return all[0].Value, true
}

// Of what clients send, the parser makes what net/http makes of it.
func TestCookiesAsNetHTTPHasThem(t *testing.T) {
	name := rapid.SampledFrom([]string{"lb", "LB", "l", "lbb", "SID", "__Host-lb", "a.b"})
	value := rapid.StringMatching(`[!#-+\--:<-\[\]-~]{0,20}`)
	cookie := rapid.Custom(func(t *rapid.T) string { return name.Draw(t, "name") + "=" + value.Draw(t, "value") })
	separator := rapid.SampledFrom([]string{"; ", ";", " ; ", ";;", "; ;"})
	line := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(cookie, 0, 5).Draw(t, "cookies"), separator.Draw(t, "separator"))
	})
	rapid.Check(t, func(t *rapid.T) {
		lines, name := rapid.SliceOfN(line, 0, 3).Draw(t, "lines"), name.Draw(t, "name")
		got, ok := cookieIn(lines, name)
		want, wanted := once(lines, name)
		if ok != wanted || ok && got != want {
			t.Fatalf("%s in %q: %q, %t, want %q, %t", name, lines, got, ok, want, wanted)
		}
	})
}

// Anything may come: what is found is part of it, and follows the name.
func TestCookiesOfAnyBytes(t *testing.T) {
	bytes := rapid.Custom(func(t *rapid.T) string {
		if rapid.Bool().Draw(t, "alike") {
			return rapid.StringMatching(`([lb=; \t\x00]|lb=){0,30}`).Draw(t, "text")
		}
		return string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
	})
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOfN(bytes, 0, 3).Draw(t, "lines")
		value, ok := cookieIn(lines, "lb")
		if all := strings.Join(lines, "\n"); ok && (!strings.Contains(all, "lb="+value) || strings.Contains(value, ";")) {
			t.Fatalf("%q of %q", value, all)
		}
		if !ok && value != "" {
			t.Fatalf("%q, which is not there", value)
		}
		setIn(lines, "lb")
	})
}

func TestPathParametersOfAnyBytes(t *testing.T) {
	path := rapid.Custom(func(t *rapid.T) string {
		if rapid.Bool().Draw(t, "alike") {
			return rapid.StringMatching(`([a=;/]|;a=|%3B){0,30}`).Draw(t, "text")
		}
		return string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
	})
	rapid.Check(t, func(t *rapid.T) {
		path := path.Draw(t, "path")
		value := pathParameter(&http.Request{URL: &url.URL{Path: path}}, "a")
		if strings.ContainsAny(value, ";/") || value != "" && !strings.Contains(strings.ToLower(path), ";a="+strings.ToLower(value)) {
			t.Fatalf("%q of %q", value, path)
		}
	})
	if value := pathParameter(new(http.Request), "a"); value != "" {
		t.Errorf("%q of no path", value)
	}
}

// A client that sends what it likes is answered like any other.
func TestAnyBytesAreANewSession(t *testing.T) {
	h := pooltest.NewScripted(t, sticky(object{"cookie": "lb", "header": field, "learn": []string{"SID"}, "route": object{"a": pooltest.Dial(0)}}), 3)
	text := rapid.Custom(func(t *rapid.T) string {
		return string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) + rapid.SampledFrom([]string{"", ".a", "=", "\""}).Draw(t, "end")
	})
	rapid.Check(t, func(t *rapid.T) {
		r := newBrowser().request()
		r.Header["Cookie"] = []string{
			rapid.SampledFrom([]string{"lb=", "SID=", "", "lb"}).Draw(t, "name") + text.Draw(t, "cookie"), text.Draw(t, "other"),
		}
		r.Header[field] = []string{text.Draw(t, "token")}
		r.URL.Path = text.Draw(t, "path")
		if pooltest.Pick(h, h.Upstreams, r) == pooltest.None {
			t.Fatal("nobody")
		}
	})
}

func TestLearnedSessionsAreKnownByCookie(t *testing.T) {
	l := memory(t, 0, "NAME1", "NAME2")
	again := memory(t, 0, "NAME2", "NAME1") // of the same pool's next configuration
	again.shards = l.shards
	other := memory(t, 0, "NAME1", "NAME2")
	l.learn(nil, "a", http.Header{"Set-Cookie": {"NAME1=1"}})
	places := map[string]int{"a": 7}
	for text, want := range map[string]bool{"NAME1=1": true, "NAME2=1": false, "NAME1=2": false, "NAME1=": false} {
		for _, l := range []*learned{l, again} {
			if place, ok := l.find([]string{text}, places); ok != want || ok && place != 7 {
				t.Errorf("%s: %d, %t", text, place, ok)
			}
		}
	}
	if _, ok := other.find([]string{"NAME1=1"}, places); ok {
		t.Error("the sessions of another pool are not the same")
	}
	if _, ok := l.find([]string{"NAME1=1"}, map[string]int{"b": 0}); ok {
		t.Error("it is with none of these")
	}
}
