package integration

import (
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestRosterChangesUnderLoadFailNoRequest adds, weighs and removes members a thousand
// times.
func TestRosterChangesUnderLoadFailNoRequest(t *testing.T) {
	if forked(t) {
		return
	}
	for _, name := range atLength([]string{"peak_ewma", "maglev {path}"}, []string{
		"smooth_weighted_round_robin", "weighted_random", "least_request", "peak_ewma", "rendezvous {path}", "maglev {path}", "ring_hash {path}", "sticky", "random",
	}) {
		t.Run(name, func(t *testing.T) {
			b := backends(t, "a", "b", "c", "d")
			setAll(b, upgrade)
			id := strings.Fields(name)[0] + "-load"
			p := run(t, rostered(id, member(b[0])+member(b[1]), name))
			s := p.connect("")
			l := p.load(300)
			l.awaitMore(t, 50)
			began := time.Now()
			for i := range 250 {
				changing := b[1+i%3]
				if changing != b[1] {
					change(t, http.StatusCreated, http.MethodPut, id, changing, `{"weight": 2}`)
				} else {
					change(t, http.StatusOK, http.MethodPut, id, changing, `{"weight": 2}`)
				}
				change(t, http.StatusOK, http.MethodPatch, id, changing, `{"weight": 0}`)
				change(t, http.StatusOK, http.MethodPatch, id, changing, `{"weight": 3}`)
				change(t, http.StatusOK, http.MethodDelete, id, changing, "")
				if changing == b[1] {
					change(t, http.StatusCreated, http.MethodPut, id, changing, "")
				}
			}
			took := time.Since(began)
			l.awaitMore(t, 50)
			counts := l.stop()
			t.Log("1,000 changes in", took, counts)
			expectNoFailure(t, counts)
			if got := s.echo("still here"); got != "still here" {
				t.Error("the socket:", got)
			}
		})
	}
}

func TestRosterWhenTheStorageFails(t *testing.T) {
	if forked(t) {
		return
	}
	b := backends(t, "a", "b", "c")
	p := run(t, rostered("failing", member(b[0]), "smooth_weighted_round_robin"))
	change(t, http.StatusCreated, http.MethodPut, "failing", b[1], "")
	kept := filepath.Join(storageDir, "load_balancer")
	aside := kept + ".aside"
	if err := os.Rename(kept, aside); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(kept, []byte("not a directory"), 0o600); err != nil {
		t.Fatal(err)
	}
	restore := func() {
		os.Remove(kept)
		os.Rename(aside, kept)
	}
	t.Cleanup(restore)
	if status, text, _ := adminDo(t, http.MethodPut, memberPath("failing", b[2]), ""); status != http.StatusServiceUnavailable ||
		!strings.Contains(text, "the storage has not taken the order: ") {
		t.Errorf("%d %s", status, text)
	}
	const warning = "the storage cannot be read: the orders of operators go on as they were last known"
	logs.first(t, 6*time.Second, warning, "key", "load_balancer/rosters")
	if got := p.shares(4); !maps.Equal(got, map[string]int{"a": 2, "b": 2}) {
		t.Errorf("without the storage: %v", got)
	}
	restore()
	logs.first(t, 6*time.Second, "the orders of operators can be read again", "key", "load_balancer/rosters")
	if n := logs.count(warning, "key", "load_balancer/rosters"); n != 1 {
		t.Errorf("%d warnings", n)
	}
	change(t, http.StatusCreated, http.MethodPut, "failing", b[2], "")
	if got := p.shares(6); !maps.Equal(got, map[string]int{"a": 2, "b": 2, "c": 2}) {
		t.Errorf("with the storage again: %v", got)
	}
}

// The guide's example loads, and the paths that it has are there.
func TestRosterGuide(t *testing.T) {
	text, err := os.ReadFile("../docs/roster.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```caddyfile\n")
	example, _, _ := strings.Cut(rest, "```")
	golden{caddyfile: example}.check(t)
	b := backends(t, "a")
	run(t, rostered("guide", member(b[0]), "peak_ewma"))
	rows := regexp.MustCompile("(?m)^\\| `([A-Z]+) (/rosters[^`]*)`").FindAllStringSubmatch(string(text), -1)
	if len(rows) != 6 {
		t.Errorf("%d requests are listed, want 6", len(rows))
	}
	for _, row := range rows {
		path := strings.NewReplacer("{name}", "guide", "{address}", url.PathEscape(b[0].addr)).Replace(row[2])
		if status, text, _ := adminDo(t, row[1], "/load_balancer"+path, `{"weight": 2}`); status/100 != 2 {
			t.Errorf("%s %s: %d %s", row[1], row[2], status, text)
		}
	}
}
