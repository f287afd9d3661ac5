package integration

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestKeysOfTheDead has one of four killed while requests are made for all keys:
// its keys move, each to one place, and come back with it; no other key moves.
func TestKeysOfTheDead(t *testing.T) {
	if forked(t) {
		return
	}
	for _, name := range hashes {
		t.Run(name, func(t *testing.T) {
			b, killed := backends(t, "a", "b", "c"), &child{name: "killed", addr: freeAddr()}
			killed.start(t)
			p := run(t, policy(addrs(b...)+" "+killed.addr, name+" "+user, patient()))
			all := keys(atLength(100, 2000))
			first := p.homes(all, byUser)
			seen := make(map[string]map[string]bool) // by key: who has answered
			load := repeatedly(t, func() {
				for key, home := range p.homes(all, byUser) {
					if seen[key] == nil {
						seen[key] = make(map[string]bool)
					}
					seen[key][home] = true
				}
			})
			killed.kill()
			load.rounds(1)
			logs.first(t, 5*time.Second, "upstream is unhealthy", "upstream", killed.addr)
			away := p.homes(all, byUser)
			killed.start(t)
			logs.first(t, 5*time.Second, "upstream is healthy", "upstream", killed.addr)
			eventually(t, 5*time.Second, "its keys come back", func() bool { return len(moves(first, p.homes(all, byUser))) == 0 })
			load.rounds(1)
			n := load.stop()

			if got := count(away); got["killed"] > 0 || len(got) != len(b) {
				t.Errorf("keys with it away: %v", got)
			}
			for key, homes := range seen {
				home := first[key]
				delete(homes, home)
				if home == "killed" {
					delete(homes, away[key])
				}
				if len(homes) > 0 {
					t.Errorf("key %s: at first with %s, away with %s, and also with %v", key, home, away[key], homes)
				}
			}
			for m := range moves(first, away) {
				if !strings.HasPrefix(m, "killed to ") {
					t.Errorf("while it is away, keys have moved from %s", m)
				}
			}
			t.Logf("of %d keys have moved and come back: %v, in %d rounds", len(all), moves(first, away), n)
		})
	}
}

// TestARetryHashesWhatTheClientSent has header_up change what is the key before
// the first attempt, so that all retries would have the same.
func TestARetryHashesWhatTheClientSent(t *testing.T) {
	if forked(t) {
		return
	}
	const changes = "header_up X-User changed\nheader_up Host other.example"
	for _, name := range hashes {
		for _, by := range keyed {
			t.Run(name+" "+by.key, func(t *testing.T) {
				b := backends(t, "a", "b", "c", "d")
				setAll(b, func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("X-User") != "changed" {
						w.WriteHeader(http.StatusTeapot)
					}
				})
				setHealth(b, ok)
				site := func(options string) string { return policy(addrs(b...), name+" "+by.key, options, changes) }
				p := run(t, site(calm), trusting)
				all := keys(60)
				alive := p.homes(all, by.asks)
				b[0].stop()
				b[1].stop()
				retried := p.homes(all, by.asks)
				p.reload(site(patient()))
				awaitDown(t, b[0], b[1])
				expectSame(t, "retries, and verdicts", retried, p.homes(all, by.asks))
				if got := count(retried); got["c"] == 0 || got["d"] == 0 || len(got) != 2 {
					t.Errorf("a and b are dead, others get %v", got)
				}
				for m := range moves(alive, retried) {
					if !strings.HasPrefix(m, "a to ") && !strings.HasPrefix(m, "b to ") {
						t.Errorf("a and b are dead: moved from %s", m)
					}
				}
			})
		}
	}
}
