package selectors

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// Sites that are alike in all have sessions of their own: what the clients of one do
// pushes out none of another's, and a reload gives each its own back.
func TestLearnedSessionsBelongToTheirPool(t *testing.T) {
	pooltest.Isolate()
	site := object{
		"load_balancing": object{"selection_policy": object{"policy": "sticky", "learn": []string{"SID"}}},
		"upstreams":      pooltest.Dials(3),
	}
	both := pooltest.LoadHandlers(t, site, site)
	policy := func(i int) *Sticky { return both[i].LoadBalancing.SelectionPolicy.(*Sticky) }
	with := func(session string) *http.Request {
		r := pooltest.NewRequest()
		r.Header.Set("Cookie", "SID="+session)
		return r
	}
	learn := func(i int, session, address string) {
		policy(i).observeResponse(with("none").Context(), address, http.Header{"Set-Cookie": {"SID=" + session}})
	}
	learn(0, "mine", pooltest.Dial(2))
	for n := range 104_000 { // as many requests without a cookie
		learn(1, fmt.Sprint("theirs-", n), pooltest.Dial(0))
	}
	for range 10 {
		if got := pooltest.Pick(both[0], both[0].Upstreams, with("mine")); got != pooltest.Dial(2) {
			t.Fatalf("pushed out by another site's: %s", got)
		}
	}
	if n := count(t, policy(1).learned); n > maxSessions {
		t.Errorf("%d sessions", n)
	}
	both = pooltest.LoadHandlers(t, site, site)
	for range 10 {
		if got := pooltest.Pick(both[0], both[0].Upstreams, with("mine")); got != pooltest.Dial(2) {
			t.Fatalf("lost by a reload: %s", got)
		}
	}
	if n := count(t, policy(1).learned); n < maxSessions/2 {
		t.Errorf("%d sessions of the other one, after a reload", n)
	}
	// A changed option is no reason to forget either.
	site["load_balancing"] = object{"selection_policy": object{"policy": "sticky", "learn": []string{"SID", "TOKEN"}, "retries": 1}}
	both = pooltest.LoadHandlers(t, site, site)
	if got := pooltest.Pick(both[0], both[0].Upstreams, with("mine")); got != pooltest.Dial(2) {
		t.Errorf("lost by a reload with another option: %s", got)
	}
}
