package integration

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestRequestsWithoutAKey(t *testing.T) {
	for _, name := range hashes {
		t.Run(name, func(t *testing.T) {
			b := backends(t, "a", "b", "c")
			p := run(t, policy(addrs(b...), name+" "+user, calm+"\nfallback smooth_weighted_round_robin"))
			if got, want := p.sequence(6), "a b c a b c"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			p.reload(policy(addrs(b...), name+" "+user, calm))
			if got := p.shares(60); len(got) != len(b) {
				t.Errorf("by default, one after the other: %v", got)
			}
			b[0].stop()
			p.sequence(20)
		})
	}
}

func TestKeysOfAnyKind(t *testing.T) {
	b := backends(t, "a", "b", "c")
	setAll(b, repeat)
	binary := make([]byte, 0, 250)
	for c := 255; c > 0; c-- {
		if c >= ' ' && c != 127 || c == '\t' { // others are in no header
			binary = append(binary, byte(c))
		}
	}
	for _, name := range hashes {
		t.Run(name, func(t *testing.T) {
			p := run(t, policy(addrs(b...), name+` "{uri} {http.request.header.X-User} {http.request.cookie.x} {http.request.tls.client.subject} {nobody.knows.this}"`, calm))
			for what, c := range map[string]struct{ path, value, body string }{
				"plain":        {"/", "1", ""},
				"binary":       {"/", string(binary), ""},
				"huge":         {"/", strings.Repeat("u", 15_000), ""},
				"placeholders": {"/{uri}?{x}={http.request.header.X-User}", "{uri}{http.request.header.X-User}{env.HOME}{{{}}}", ""},
				"encoded":      {"/%00%ff%2f%7B?%zz&&&==#x", "%00%s%d", ""},
				"long path":    {"/" + strings.Repeat("p", 15_000), "", ""},
				"body":         {"/", "1", strings.Repeat("body", 100_000)},
			} {
				ask := func() answer {
					return p.do(http.MethodPut, strings.TrimSuffix(c.path, "#x"), c.body, "X-User", c.value)
				}
				first := ask()
				for range 5 {
					if a := ask(); a.status != http.StatusOK || a.from() != first.from() || a.body != c.body {
						t.Errorf("%s: %v, and then: %v with %d bytes", what, first, a, len(a.body))
					}
				}
			}
			if p.homes(keys(10), byUser); t.Failed() {
				t.Error("then, plain ones fail")
			}
		})
	}
}

// repeat answers with the body.
func repeat(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // before an answer begins: HTTP/1 is not full duplex
	w.Write(body)
}

// TestABodyIsNoKeyOrArrives has a placeholder in the key that reads what the
// upstream should get.
func TestABodyIsNoKeyOrArrives(t *testing.T) {
	b := backends(t, "a", "b", "c")
	setAll(b, repeat)
	p := run(t, policy(addrs(b...), "maglev {uri}", ""))
	if err := p.tryReload(policy(addrs(b...), "maglev {http.request.body}", "")); err != nil {
		return // it may be refused
	}
	for n := range 10 {
		body := fmt.Sprint("body ", n)
		if a := p.do(http.MethodPost, "/", body); a.status != http.StatusOK || a.body != body {
			t.Errorf("%q: %v", body, a)
		}
	}
}

func TestKeysAsUpstreamsComeAndGo(t *testing.T) {
	b := backends(t, "a", "b", "c", "d", "e")
	for _, name := range hashes {
		t.Run(name, func(t *testing.T) {
			members.set("hashing", b[:4]...)
			p := run(t, dynamic(name+" "+user, "shuffled hashing", calm), expireSoon)
			all := keys(400)
			first := p.homes(all, byUser)
			members.set("hashing", b...)
			joined := p.homes(all, byUser)
			among := func(before, after map[string]string, who string) (n int) {
				for m, keys := range moves(before, after) {
					if !strings.HasSuffix(m, "to "+who) && !strings.HasPrefix(m, who) {
						n += keys
					}
				}
				return n
			}
			most := 0
			if name == "maglev" {
				most = 24
			}
			t.Logf("e has joined: %v, %d keys have moved among others", count(joined), among(first, joined, "e"))
			if n := among(first, joined, "e"); n > most || count(joined)["e"] < 20 {
				t.Errorf("e has joined: %v, %d keys have moved among others", count(joined), n)
			}
			members.set("hashing", b[1:]...)
			left := p.homes(all, byUser)
			if n := among(joined, left, "a"); n > most || count(left)["a"] > 0 {
				t.Errorf("a has left: %v, %d keys have moved among others", count(left), n)
			}
			members.set("hashing", b[:4]...)
			expectSame(t, "as it was at first", first, p.homes(all, byUser))
		})
	}
}
