package pool

import (
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
)

// State belongs to the address that is dialled, however it is written; of one that
// only a request can fill in there is none.
func TestStateBelongsToTheResolvedAddress(t *testing.T) {
	t.Setenv("EVENKEEL_TEST_HOST", "10.255.0.1")
	b := newPool(t, Options{}, 0)
	now := instant.Now()
	member := func(address string) *member {
		m, _, _ := b.newMember(address, now)
		t.Cleanup(func() { b.release(m, false) })
		return m
	}
	plain, filled := member("10.255.0.1:80"), member("{env.EVENKEEL_TEST_HOST}:80")
	if plain.latency != filled.latency || plain.host != filled.host || plain.host == nil {
		t.Error("one address, two states")
	}
	if filled.address != "{env.EVENKEEL_TEST_HOST}:80" {
		t.Errorf("Caddy's name for it is %s", filled.address)
	}
	for _, address := range []string{"{http.request.header.X-Up}", "{http.request.host.labels.2}-a:80", "{env.EVENKEEL_TEST_NONE}:80"} {
		if m := member(address); m.latency != nil || m.host != nil || m.known != nil {
			t.Errorf("%s: something is kept", address)
		}
	}
}

// An attempt to an upstream of which nothing is kept leaves no trace.
func TestAttemptToWhatOnlyTheRequestKnows(t *testing.T) {
	b := newPool(t, Options{}, 0)
	b.statics = reverseproxy.UpstreamPool{{Dial: "{http.request.header.X-Up}", Host: new(reverseproxy.Host)}}
	if err := b.handle.Start(); err != nil {
		t.Fatal(err)
	}
	b.serve(0, 10, refuses)
	b.serve(0, 10, says(200))
	if got := b.static.members[0].latency.Expect(time.Millisecond, 0, 0, present); got != time.Millisecond {
		t.Errorf("held to take %v", got)
	}
}
