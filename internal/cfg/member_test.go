package cfg

import (
	"slices"
	"strings"
	"testing"
)

func TestParseMember(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.1:80":          "10.0.0.1:80",
		"10.0.0.1":             "10.0.0.1:80",
		"h":                    "h:80",
		"h:8080-8082":          "h:8080 h:8081 h:8082",
		"[::1]:80":             "[::1]:80",
		"unix//run/a.sock":     "unix//run/a.sock",
		"tcp6/h:80":            "tcp6/h:80",
		"{env.HOST}:80":        "{env.HOST}:80",
		"{env.HOST}":           "{env.HOST}",
		"":                     "error: empty upstream",
		"http://h":             "error: 'http://h': a dynamic upstream has no scheme; write h, and",
		"http://h:8080":        "error: 'http://h:8080': a dynamic upstream has no scheme; write h:8080, and",
		"https://h":            "error: 'https://h': a dynamic upstream has no scheme; write h:443, and say how to talk to it in the block transport: tls",
		"https://h:8443":       "error: 'https://h:8443': a dynamic upstream has no scheme; write h:8443, and",
		"h2c://h:80":           "error: 'h2c://h:80': a dynamic upstream has no scheme; write h:80, and say how to talk to it in the block transport: versions h2c",
		"unix+h2c//run/a.sock": "error: 'unix+h2c//run/a.sock': a dynamic upstream has no scheme; write unix//run/a.sock, and",
		"10.0.0.0/8":           "error: '10.0.0.0/8' is a range of addresses",
		"::1/128":              "error: '::1/128' is a range of addresses",
		"h/path":               "error: 'h/path:80': 'h' is no network",
		"udp/h:80":             "error: 'udp/h:80': 'udp' is no network",
		":80":                  "error: ':80' names no host",
		"unix/":                "error: 'unix/' names no host",
		"h:0-70000":            "error: ",
		"h:90-80":              "error: ",
		"h:x":                  "error: ",
		"a b":                  "error: 'a b' is neither",
	} {
		addresses, err := ParseMember(text)
		got := strings.Join(addresses, " ")
		if err != nil {
			got = "error: " + err.Error()
		}
		if ok := got == want || strings.HasPrefix(want, "error: ") && strings.HasPrefix(got, want); !ok {
			t.Errorf("'%s': %s, want %s", text, got, want)
		}
		for _, address := range addresses {
			if again, err := ParseMember(address); err != nil || !slices.Equal(again, []string{address}) {
				t.Errorf("'%s' is not read as it is written: %v %v", address, again, err)
			}
		}
	}
}
