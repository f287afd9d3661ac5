package selectors

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// byUser are the policies that pick by a header.
var byUser = []object{
	{"policy": "rendezvous", "key": "{http.request.header.X-User}"},
	{"policy": "maglev", "key": "{http.request.header.X-User}"},
	{"policy": "ring_hash", "key": "{http.request.header.X-User}"},
}

// user returns a request of the user.
func user(n int) *http.Request { return of(fmt.Sprint("user", n)) }

// of returns a request with the header's value as key. It has no more than the
// policies look at, for tests send many.
func of(value string) *http.Request {
	repl := caddy.NewReplacer()
	repl.Set("http.request.header.X-User", value)
	r := bare.WithContext(context.WithValue(context.Background(), caddy.ReplacerCtxKey, repl))
	r.URL = &url.URL{Path: "/"} // attempts write to it
	return r
}

var bare = pooltest.NewRequest()

// homes returns which upstream each user meets.
func homes(h *reverseproxy.Handler, users int) []string {
	all := make([]string, users)
	for n := range all {
		all[n] = pooltest.Pick(h, h.Upstreams, user(n))
	}
	return all
}

// countByHome counts keys by their homes.
func countByHome(homes []string) map[string]int {
	counts := make(map[string]int)
	for _, home := range homes {
		counts[home]++
	}
	return counts
}

// forKeys runs a test for all policies that pick by a key, each in a bubble of its
// own.
func forKeys(t *testing.T, test func(t *testing.T, config object)) {
	for _, config := range byUser {
		t.Run(config["policy"].(string), func(t *testing.T) {
			pooltest.Test(t, func(t *testing.T) { test(t, config) })
		})
	}
}

func TestFlapMovesOnlyTheKeysOfThoseDown(t *testing.T) {
	forKeys(t, func(t *testing.T, config object) {
		const users = 5000
		h := pooltest.NewHandler(t, pooltest.With(config, pooltest.Checked), 10)
		before := homes(h, users)
		pooltest.SetDown(pooltest.Dial(3))
		got := make(map[string]int)
		for n, home := range homes(h, users) {
			switch {
			case before[n] != pooltest.Dial(3) && home != before[n]:
				t.Fatalf("user %d moved from %s to %s", n, before[n], home)
			case before[n] == pooltest.Dial(3):
				got[home]++
			}
		}
		if len(got) != 9 {
			t.Errorf("the keys of one went to %v", got)
		}
		pooltest.SetDown()
		for n, home := range homes(h, users) {
			if home != before[n] {
				t.Fatalf("user %d is at %s, not back at %s", n, home, before[n])
			}
		}
	})
}

// A tenth of a hundred upstreams goes: their keys are divided between the rest, no
// others move, and all come back.
func TestFlapOfATenth(t *testing.T) {
	forKeys(t, func(t *testing.T, config object) {
		const users, n = 10_000, 100
		h := pooltest.NewHandler(t, pooltest.With(config, pooltest.Checked), n)
		before := homes(h, users)
		down := make(map[string]bool)
		var gone []string
		for i := 5; i < n; i += 10 {
			down[pooltest.Dial(i)] = true
			gone = append(gone, pooltest.Dial(i))
		}
		pooltest.SetDown(gone...)
		orphans, got := 0, make(map[string]int)
		for user, home := range homes(h, users) {
			switch {
			case down[home] || home == pooltest.None:
				t.Fatalf("user %d is at %s", user, home)
			case down[before[user]]:
				orphans++
				got[home]++
			case home != before[user]:
				t.Fatalf("user %d moved from %s to %s", user, before[user], home)
			}
		}
		for home, keys := range got {
			if mean := orphans / (n - len(gone)); keys > 4*mean {
				t.Errorf("%s got %d of %d keys, %d are the mean", home, keys, orphans, mean)
			}
		}
		if len(got) < n-len(gone)-5 {
			t.Errorf("the keys of %d went to %d others only", len(gone), len(got))
		}
		pooltest.SetDown()
		for user, home := range homes(h, users) {
			if home != before[user] {
				t.Fatalf("user %d is at %s, not back at %s", user, home, before[user])
			}
		}
	})
}

// Whoever has as many requests as it takes is passed by until it has room, and no
// neighbour gets all of its keys.
func TestFullUpstreamsKeysAreDivided(t *testing.T) {
	forKeys(t, func(t *testing.T, config object) {
		const users = 5000
		h := pooltest.NewHandler(t, config, 10)
		before := homes(h, users)
		full := h.Upstreams[6]
		full.MaxRequests = 1
		pooltest.SetActive(full, 1)
		got, orphans := make(map[string]int), 0
		for n, home := range homes(h, users) {
			switch {
			case home == full.Dial:
				t.Fatalf("user %d met one that is full", n)
			case before[n] == full.Dial:
				got[home]++
				orphans++
			case home != before[n]:
				t.Fatalf("user %d moved from %s to %s", n, before[n], home)
			}
		}
		for home, keys := range got {
			if keys > orphans/4 {
				t.Errorf("%s got %d of %d keys", home, keys, orphans)
			}
		}
		pooltest.SetActive(full, 0)
		for n, home := range homes(h, users) {
			if home != before[n] {
				t.Fatalf("user %d is at %s, not back at %s", n, home, before[n])
			}
		}
	})
}

// The last one that is up is found, wherever in the table it is.
func TestLastOneUpIsFound(t *testing.T) {
	forKeys(t, func(t *testing.T, config object) {
		const n = 200
		h := pooltest.NewHandler(t, pooltest.With(config, pooltest.Checked), n)
		var gone []string
		for i := range n {
			if i != 77 {
				gone = append(gone, pooltest.Dial(i))
			}
		}
		pooltest.SetDown(gone...)
		for user, home := range homes(h, 500) {
			if home != pooltest.Dial(77) {
				t.Fatalf("user %d met %s", user, home)
			}
		}
	})
}
