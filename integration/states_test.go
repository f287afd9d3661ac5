package integration

import (
	"net/http"
	"regexp"
	"testing"
	"time"
)

// expectToldAlike expects that API, metrics, command and status page tell the same state of
// the upstream.
func expectToldAlike(t *testing.T, p *proxy, b *backend, state, reason string) {
	t.Helper()
	awaitState(t, b.addr, state, reason)
	if n := total(t, "upstream_state", `upstream="`+b.addr+`"`, `state="`+state+`"`); n != 1 {
		t.Errorf("%s: metrics have %v", state, n)
	}
	if page := p.get("/status").body; !regexp.MustCompile(`data-state="` + state + `" data-key="[^"]* ` + regexp.QuoteMeta(b.addr) + `"`).MatchString(page) {
		t.Errorf("%s: the page tells another state", state)
	}
	table := lb(t)
	if !regexp.MustCompile(`(?m)^ +` + regexp.QuoteMeta(b.addr) + ` +` + state + ` `).MatchString(table) {
		t.Errorf("%s: the command tells another state:\n%s", state, table)
	}
}

// Every state is shown by API, metrics, command and page, with a reason and since when.
func TestEveryStateIsShown(t *testing.T) {
	if forked(t) {
		return
	}
	const check = "health_check http " + healthPath + " {\n interval 50ms\n timeout 2s\n fails 1\n passes 1\n on_response\n initial checking\n}"
	const page = "load_balancer_status /status\n"
	b := backends(t, "a", "b")
	a := b[0]
	hold := make(chan struct{})
	defer close(hold)
	a.setHealth(held(hold))
	p := run(t, page+policy(addrs(b...), "weighted_random", check))
	expectToldAlike(t, p, a, "checking", "has not passed yet")
	a.setHealth(ok)
	p.reload(page + policy(addrs(b...), "weighted_random", check) + "\n# again")
	expectToldAlike(t, p, a, "up", "available")
	a.setHealth(status(http.StatusServiceUnavailable))
	expectToldAlike(t, p, a, "down", "unhealthy")
	a.setHealth(saying("X-Envoy-Degraded"))
	expectToldAlike(t, p, a, "degraded", "as it says itself")
	a.setHealth(ok)
	expectToldAlike(t, p, a, "up", "")
	ordered(t, a, `{"state": "drain"}`)
	expectToldAlike(t, p, a, "draining", "by an operator")
	ordered(t, a, `{"state": "maintenance", "reason": "disk"}`)
	expectToldAlike(t, p, a, "maintenance", "disk")
	ready(t, a)
	expectToldAlike(t, p, a, "up", "")

	p.reload(page + policy(addrs(b...), "weighted_random", "slow_start 1m"))
	ordered(t, a, `{"state": "drain"}`)
	expectToldAlike(t, p, a, "draining", "")
	ready(t, a)
	expectToldAlike(t, p, a, "slow_start", "of its weight")

	p.reload(page + policy(a.addr, "weighted_random", "max_requests 1"))
	full := make(chan struct{})
	a.set(held(full))
	done := make(chan answer, 1)
	go func() { done <- p.get("/") }()
	expectToldAlike(t, p, a, "full", "1 of max_requests 1")
	close(full)
	<-done
	expectToldAlike(t, p, a, "up", "")

	const ejecting = "outlier_detection {\n consecutive_5xx 1\n base_ejection_time 3s\n}\nretries 0"
	a.set(status(http.StatusInternalServerError))
	p.reload(page + policy(addrs(b...), "weighted_random", ejecting))
	eventually(t, 3*time.Second, "it has failed", func() bool { return p.get("/").status == 500 })
	expectToldAlike(t, p, a, "ejected", "ejected for")
	expectToldAlike(t, p, a, "probation", "on probation")
	a.set(ok)
	eventually(t, 3*time.Second, "it is up", func() bool { p.get("/"); return shown(t, a.addr).State == "up" })
}
