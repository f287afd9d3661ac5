package selectors

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// oneConfig provisions several handlers of one configuration.
func oneConfig(t *testing.T, configs ...object) (handlers []*reverseproxy.Handler) {
	t.Helper()
	ctx, err := caddy.ProvisionContext(&caddy.Config{Logging: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(ctx)
	t.Cleanup(cancel)
	for _, config := range configs {
		raw, err := json.Marshal(config)
		if err != nil {
			t.Fatal(err)
		}
		mod, err := ctx.LoadModuleByID("http.handlers.reverse_proxy", raw)
		if err != nil {
			t.Fatal(err)
		}
		handlers = append(handlers, mod.(*reverseproxy.Handler))
	}
	return handlers
}

// Sites that are alike in all have sessions of their own: what the clients of one do
// pushes out none of another's, and a reload gives each its own back.
func TestLearnedSessionsBelongToTheirPool(t *testing.T) {
	isolate()
	site := object{
		"load_balancing": object{"selection_policy": object{"policy": "sticky", "learn": []string{"SID"}}},
		"upstreams":      dials(3),
	}
	both := oneConfig(t, site, site)
	policy := func(i int) *Sticky { return both[i].LoadBalancing.SelectionPolicy.(*Sticky) }
	with := func(session string) *http.Request {
		r := newRequest()
		r.Header.Set("Cookie", "SID="+session)
		return r
	}
	learn := func(i int, session, address string) {
		policy(i).observeResponse(with("none").Context(), address, http.Header{"Set-Cookie": {"SID=" + session}})
	}
	learn(0, "mine", dial(2))
	for n := range 104_000 { // as many requests without a cookie
		learn(1, fmt.Sprint("theirs-", n), dial(0))
	}
	for range 10 {
		if got := pick(both[0], both[0].Upstreams, with("mine")); got != dial(2) {
			t.Fatalf("pushed out by another site's: %s", got)
		}
	}
	if n := count(t, policy(1).learned); n > maxSessions {
		t.Errorf("%d sessions", n)
	}
	both = oneConfig(t, site, site)
	for range 10 {
		if got := pick(both[0], both[0].Upstreams, with("mine")); got != dial(2) {
			t.Fatalf("lost by a reload: %s", got)
		}
	}
	if n := count(t, policy(1).learned); n < maxSessions/2 {
		t.Errorf("%d sessions of the other one, after a reload", n)
	}
	// A changed option is no reason to forget either.
	site["load_balancing"] = object{"selection_policy": object{"policy": "sticky", "learn": []string{"SID", "TOKEN"}, "retries": 1}}
	both = oneConfig(t, site, site)
	if got := pick(both[0], both[0].Upstreams, with("mine")); got != dial(2) {
		t.Errorf("lost by a reload with another option: %s", got)
	}
}
