package selectors

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/pool"
)

// byUser are the policies that pick by a header.
var byUser = []object{
	{"policy": "rendezvous", "key": "{http.request.header.X-User}"},
	{"policy": "maglev", "key": "{http.request.header.X-User}"},
	{"policy": "ring_hash", "key": "{http.request.header.X-User}"},
}

// user returns a request of the user.
func user(n int) *http.Request {
	r := newRequest()
	r.Header.Set("X-User", fmt.Sprint("user", n))
	pool.Replacer(r).Set("http.request.header.X-User", r.Header.Get("X-User"))
	return r
}

// homes returns which upstream each user meets.
func homes(h *reverseproxy.Handler, users int) []string {
	all := make([]string, users)
	for n := range all {
		all[n] = pick(h, h.Upstreams, user(n))
	}
	return all
}

func forKeys(t *testing.T, test func(t *testing.T, config object)) {
	for _, config := range byUser {
		t.Run(config["policy"].(string), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { isolate(); test(t, config) })
		})
	}
}

func TestFlapMovesOnlyTheKeysOfThoseDown(t *testing.T) {
	forKeys(t, func(t *testing.T, config object) {
		const users = 5000
		h := newHandler(t, with(config, checked), 10)
		before := homes(h, users)
		setDown(dial(3))
		got := make(map[string]int)
		for n, home := range homes(h, users) {
			switch {
			case before[n] != dial(3) && home != before[n]:
				t.Fatalf("user %d moved from %s to %s", n, before[n], home)
			case before[n] == dial(3):
				got[home]++
			}
		}
		if len(got) != 9 {
			t.Errorf("the keys of one went to %v", got)
		}
		setDown()
		for n, home := range homes(h, users) {
			if home != before[n] {
				t.Fatalf("user %d is at %s, not back at %s", n, home, before[n])
			}
		}
	})
}
