package cfg

import (
	"slices"
	"testing"
)

// upstreams assigns each match the text that it was written as.
func upstreams(t *testing.T, texts ...string) *Upstreams[string] {
	t.Helper()
	var u Upstreams[string]
	for _, text := range texts {
		if !u.Set(mustParse(t, text), text) {
			t.Fatalf("%s is a duplicate", text)
		}
	}
	return &u
}

func TestUpstreamsMostSpecificMatchWins(t *testing.T) {
	u := upstreams(t, "10.1.2.3:80", "10.1.2.3", "10.1.0.0/16", "10.0.0.0/8", "0.0.0.0/0", "10.1.2.0/24",
		"app.example", "app.example:81", "2001:db8::/32", "2001:db8::1", "[2001:db8::1]:80",
		"unix//run/a.sock", "tcp/10.9.9.9:80", "{env.UP}:80")
	for address, want := range map[string]string{
		"10.1.2.3:80":            "10.1.2.3:80",
		"10.1.2.3:81":            "10.1.2.3",
		"10.1.2.4:80":            "10.1.2.0/24",
		"10.1.3.4:80":            "10.1.0.0/16",
		"10.2.3.4:80":            "10.0.0.0/8",
		"11.2.3.4:80":            "0.0.0.0/0",
		"app.example:81":         "app.example:81",
		"app.example:80":         "app.example",
		"APP.example:80":         "app.example",
		"other.example:80":       "",
		"[2001:db8::1]:80":       "[2001:db8::1]:80",
		"[2001:db8::1]:81":       "2001:db8::1",
		"[2001:db8::2]:80":       "2001:db8::/32",
		"[2001:db9::2]:80":       "",
		"[::ffff:10.1.2.4]:80":   "10.1.2.0/24", // IPv4-mapped
		"unix//run/a.sock":       "unix//run/a.sock",
		"unix//run/b.sock":       "",
		"unix/10.1.2.3":          "", // a socket of this name
		"tcp/10.9.9.9:80":        "tcp/10.9.9.9:80",
		"tcp/10.1.2.4:80":        "10.1.2.0/24",
		"tcp/app.example:80":     "app.example",
		"{env.UP}:80":            "{env.UP}:80",
		"{http.request.host}:80": "",
		"":                       "",
	} {
		got, ok := u.Get(address)
		if got != want || ok != (want != "") {
			t.Errorf("%s: %q, %t, want %q", address, got, ok, want)
		}
	}
}

func TestUpstreamsAllMatchesInOrder(t *testing.T) {
	u := upstreams(t, "0.0.0.0/0", "10.1.2.0/24", "10.1.2.3", "10.0.0.0/8", "10.1.2.3:80", "10.9.0.0/16")
	var got []string
	for _, m := range u.All("10.1.2.3:80") {
		got = append(got, m.String())
	}
	want := []string{"10.1.2.3:80", "10.1.2.3", "10.1.2.0/24", "10.0.0.0/8", "0.0.0.0/0"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestUpstreamsRejectDuplicates(t *testing.T) {
	for _, test := range []struct{ first, second string }{
		{"h:80", "h:80"},
		{"h:80", "http://h"},
		{"h:443", "https://h"},
		{"h", "H"},
		{"::1", "[::1]"},
		{"10.0.0.0/8", "10.1.2.3/8"},
		{"10.0.0.0/8", "::ffff:10.0.0.0/104"},
		{"unix//run/a.sock", "unix+h2c//run/a.sock"},
		{"{env.UP}", "{env.UP}"},
	} {
		u := upstreams(t, test.first)
		if u.Set(mustParse(t, test.second), "second") {
			t.Errorf("%s after %s is no duplicate", test.second, test.first)
		}
		if m := u.Matches(); len(m) != 1 {
			t.Errorf("%s and %s: %d matches", test.first, test.second, len(m))
		}
	}
}

func TestUpstreamsDistinct(t *testing.T) {
	texts := []string{"h", "h:80", "h:81", "tcp/h:80", "10.0.0.0/8", "10.0.0.0/9", "10.0.0.0", "unix/h:80", "{h}"}
	u := upstreams(t, texts...)
	var got []string
	for _, m := range u.Matches() {
		got = append(got, m.String())
	}
	slices.Sort(got)
	slices.Sort(texts)
	if !slices.Equal(got, texts) {
		t.Errorf("%q, want %q", got, texts)
	}
}

func TestUpstreamsOfNothing(t *testing.T) {
	var u Upstreams[int]
	if v, ok := u.Get("h:80"); ok || v != 0 || u.All("10.0.0.1:80") != nil || u.Matches() != nil {
		t.Error("there is something in it")
	}
}
