package cfg

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// forms are the ways to write an upstream, and what they stand for: addresses,
// or a host (@ before it) on any port.
var forms = map[string][]string{
	"h:8080":                  {"h:8080"},
	"H:80":                    {"H:80"},
	"h:080":                   {"h:080"},
	"h:8080-8083":             {"h:8080", "h:8081", "h:8082", "h:8083"},
	"h:80-80":                 {"h:80"},
	":8080":                   {":8080"},
	":8080-8081":              {":8080", ":8081"},
	"h":                       {"@h"},
	"h:":                      {"h:80"},
	"127.0.0.1":               {"@127.0.0.1"},
	"127.0.0.1:80":            {"127.0.0.1:80"},
	"::1":                     {"@::1"},
	"[::1]":                   {"@::1"},
	"[::1]:80":                {"[::1]:80"},
	"[::1]:80-81":             {"[::1]:80", "[::1]:81"},
	"[fe80::1%eth0]:80":       {"[fe80::1%eth0]:80"},
	"[h]:80":                  {"h:80"},
	"http://h":                {"h:80"},
	"https://h":               {"h:443"},
	"HTTPS://h":               {"h:443"},
	"h2c://h":                 {"h:80"},
	"https://h:8443":          {"h:8443"},
	"http://h:":               {"h:80"},
	"http://u@h":              {"h:80"},
	"http://h:8080-8082":      {"h:8080", "h:8081", "h:8082"},
	"http://:80":              {":80"},
	"http://":                 {":80"},
	"https://[::1]":           {"[::1]:443"},
	"https://[::1]:8443":      {"[::1]:8443"},
	"http://[::1]:80-81":      {"[::1]:80", "[::1]:81"},
	"http://[fe80::1%25eth0]": {"[fe80::1%eth0]:80"},
	"unix//run/a.sock":        {"unix//run/a.sock"},
	"unix/a.sock":             {"unix/a.sock"},
	"UNIX//run/A.sock":        {"unix//run/A.sock"},
	"unix+h2c//run/a.sock":    {"unix//run/a.sock"},
	"unixgram//run/a.sock":    {"unixgram//run/a.sock"},
	"unix//run/a:80-81":       {"unix//run/a:80-81"},
	"fd/3":                    {"fd/3"},
	"tcp/h":                   {"tcp/h:80"},
	"tcp/h:80":                {"tcp/h:80"},
	"TCP/h:80":                {"tcp/h:80"},
	"tcp4/h:80":               {"tcp4/h:80"},
	"tcp6/[::1]:80":           {"tcp6/[::1]:80"},
	"tcp/::1":                 {"tcp/[::1]:80"},
	"tcp/h:80-81":             {"h:80", "h:81"}, // in a range, Caddy forgets the network
	"{env.HOST}":              {"{env.HOST}"},
	"{env.HOST}:80":           {"{env.HOST}:80"},
	"h:{env.PORT}":            {"h:{env.PORT}"},
	"unix/{env.DIR}/a.sock":   {"unix/{env.DIR}/a.sock"},
}

func (m Match) describe() string {
	switch {
	case m.Host != "":
		return "@" + m.Host
	case m.Range.IsValid():
		return "range " + m.Range.String()
	}
	return m.Address
}

func TestParseUpstream(t *testing.T) {
	for text, want := range forms {
		t.Run(text, func(t *testing.T) {
			matches, err := ParseUpstream(text)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, m := range matches {
				got = append(got, m.describe())
			}
			if !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

// What an option names is what Caddy dials when a reverse_proxy has the same
// text among its upstreams.
func TestParseUpstreamNamesWhatCaddyDials(t *testing.T) {
	for text := range forms {
		t.Run(text, func(t *testing.T) {
			var h reverseproxy.Handler
			if err := h.UnmarshalCaddyfile(caddyfile.NewTestDispenser("reverse_proxy " + text)); err != nil {
				t.Fatal(err)
			}
			matches, err := ParseUpstream(text)
			if err != nil {
				t.Fatal(err)
			}
			var u Upstreams[int]
			for i, m := range matches {
				u.Set(m, i)
			}
			if len(matches) != len(h.Upstreams) {
				t.Fatalf("%d matches, %d upstreams", len(matches), len(h.Upstreams))
			}
			for i, upstream := range h.Upstreams {
				if at, ok := u.Get(upstream.Dial); !ok || at != i {
					t.Errorf("%s is not what Caddy dials, %s", matches[i], upstream.Dial)
				}
			}
		})
	}
}

func TestParseUpstreamRanges(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.0/8":          "10.0.0.0/8",
		"10.1.2.3/8":          "10.0.0.0/8",
		"0.0.0.0/0":           "0.0.0.0/0",
		"10.1.2.3/32":         "10.1.2.3/32",
		"2001:db8::/32":       "2001:db8::/32",
		"2001:db8::1/32":      "2001:db8::/32",
		"::/0":                "::/0",
		"::ffff:10.0.0.0/104": "10.0.0.0/8", // as addresses of this kind are IPv4 addresses
	} {
		t.Run(text, func(t *testing.T) {
			matches, err := ParseUpstream(text)
			if err != nil {
				t.Fatal(err)
			}
			if len(matches) != 1 || matches[0].describe() != "range "+want {
				t.Errorf("%v, want %s", matches, want)
			}
		})
	}
}

func TestParseUpstreamErrors(t *testing.T) {
	const neither, refused = "'%s' is neither an upstream nor a CIDR range", "parsing upstream '%s': "
	for want, texts := range map[string][]string{
		"empty upstream": {""},
		neither: {
			"10.0.0.0/33", "10.0.0/8", "10.0.0.0/-1", "10.0.0.0/8:80", "2001:db8::/129", "[2001:db8::]/32",
			"tcp/10.0.0.0/8", "tcp//h:80", "h:80/", "::1]:80", "[::1", "::1]",
		},
		refused: { // by Caddy, whose words follow
			"h:x", "h:http", "h:+80", "h: 80", "h:65536", "h:-1", "h:9-8", "h:80-", "h:80-99999", "h:80-81-82", "tcp/h:x",
			"ftp://h", "wss://h", "://h", "http://h:443", "https://h:80", "http://h:x", "http://h:9-8", "http://a b",
			"http://h/", "http://h/path", "http://h:80/path", "http://h?q", "http://h#f",
		},
	} {
		for _, text := range texts {
			t.Run(text, func(t *testing.T) {
				matches, err := ParseUpstream(text)
				if err == nil {
					t.Fatalf("no error, but %v", matches)
				}
				want := strings.ReplaceAll(want, "%s", text)
				if !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), ", at ") {
					t.Errorf("%v, want %s", err, want)
				}
			})
		}
	}
}

func TestMatchIsWrittenAsItIsRead(t *testing.T) {
	for text := range forms {
		matches, err := ParseUpstream(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		for _, m := range append(matches, mustParse(t, "10.0.0.0/8"), mustParse(t, "2001:db8::/32")) {
			if again := mustParse(t, m.String()); again != m {
				t.Errorf("%s: %q is read as %+v, not %+v", text, m, again, m)
			}
		}
	}
}

// mustParse parses an upstream that is a single match.
func mustParse(t *testing.T, text string) Match {
	t.Helper()
	matches, err := ParseUpstream(text)
	if err == nil && len(matches) != 1 {
		err = fmt.Errorf("'%s' is %d matches", text, len(matches))
	}
	if err != nil {
		t.Fatal(err)
	}
	return matches[0]
}
