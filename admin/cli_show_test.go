package admin

import (
	"context"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write golden files anew")

// frozen is the time of the fixture.
var frozen = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// expectGolden compares with the golden file.
func expectGolden(t *testing.T, file, got string) {
	t.Helper()
	file = "testdata/cli/" + file
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\n%s\nwant\n%s", file, got, want)
	}
}

func TestTables(t *testing.T) {
	c, err := newClient(served(t, fixtures))
	if err != nil {
		t.Fatal(err)
	}
	for file, pools := range map[string][]string{"all.txt": nil, "api.txt": {"api"}, "web.txt": {"web", "empty"}} {
		s := show{pools: pools, now: func() time.Time { return frozen }}
		text, err := s.frame(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		expectGolden(t, file, string(text))
		if i := strings.IndexFunc(string(text), func(c rune) bool { return c != '\n' && unprintable(c) }); i >= 0 {
			t.Errorf("%s: a character that terminals obey: %q", file, text[i:])
		}
	}
}

func TestNothingToShow(t *testing.T) {
	if r := execute(t, "lb", "--address", served(t, answering(200, "[]"))); r.code != 0 || r.stdout != "no pool serves\n" {
		t.Errorf("%+v", r)
	}
}

// What --json prints has no terminal escapes, and means what the API has said.
func TestJSON(t *testing.T) {
	r := execute(t, "lb", "--json", "--address", served(t, fixtures))
	var v shown
	if err := json.Unmarshal([]byte(r.stdout), &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Pools) != 3 || len(v.Orders) != 6 || v.Pools[1].Upstreams[1].Ordered[0].Reason != "kernel\x1b[31m update\a\u009b2J" {
		t.Errorf("it lost something: %s", r.stdout)
	}
	if strings.ContainsFunc(r.stdout, func(c rune) bool { return c != '\n' && unprintable(c) }) {
		t.Errorf("a character that terminals obey: %q", r.stdout)
	}
}

// A watch goes on while Caddy is away, but does not begin without it.
func TestWatch(t *testing.T) {
	for _, as := range []string{"table", "json"} {
		ctx, end := context.WithCancel(t.Context())
		var asked atomic.Int32
		address := served(t, func(w http.ResponseWriter, r *http.Request) {
			switch n := asked.Add(1); n {
			case 3: // the second time
				answering(500, "away")(w, r)
			case 5: // the orders of the third time
				fixtures(w, r)
				end()
			default:
				fixtures(w, r)
			}
		})
		args := []string{"lb", "--watch", "--interval", "100ms", "--pool", "empty", "--address", address}
		if as == "json" {
			args = append(args, "--json")
		}
		r := executeUntil(ctx, args...)
		end()
		lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
		if r.code != 0 || len(lines) < 2 || !strings.Contains(r.stdout, "500 Internal Server Error: away") {
			t.Errorf("%s: exits with %d: %s%s", as, r.code, r.stdout, r.stderr)
		}
		if as == "json" && !json.Valid([]byte(lines[0])) {
			t.Errorf("no JSON on a line: %s", lines[0])
		}
		if as == "table" && (!strings.HasPrefix(r.stdout, "pool empty: sticky, open\n  no upstreams\n\n") || strings.Contains(r.stdout, "\x1b")) {
			t.Errorf("piped: %q", r.stdout)
		}
	}
}

func TestFramesOfATerminal(t *testing.T) {
	var b strings.Builder
	if err := draw(&b, []byte("one\ntwo\n"), true); err != nil {
		t.Fatal(err)
	}
	if want := "\x1b[H\x1b[?7lone\x1b[K\ntwo\x1b[K\n\x1b[J\x1b[?7h"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"plain, größe":        "plain, größe",
		"\x1b]0;title\a":      `\u001b]0;title\u0007`,
		"a\tb\nc\rd\x7f":      `a\u0009b\u000ac\u000dd\u007f`,
		"\x9b2J":              "\ufffd2J", // not UTF-8
		"\u009b2J\u202egnp":   `\u009b2J\u202egnp`,
		"\U000e0041 and then": `\U000e0041 and then`,
	} {
		if got := printable(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
