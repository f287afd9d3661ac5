package integration

import (
	"net/http"
	"testing"
	"time"
)

// Every state is shown by the API, with a reason and since when.
func TestEveryStateIsShown(t *testing.T) {
	if forked(t) {
		return
	}
	const check = "health_check http " + healthPath + " {\n interval 50ms\n timeout 2s\n fails 1\n passes 1\n on_response\n initial checking\n}"
	b := backends(t, "a", "b")
	a := b[0]
	hold := make(chan struct{})
	defer close(hold)
	a.setHealth(held(hold))
	p := run(t, policy(addrs(b...), "weighted_random", check))
	awaitState(t, a.addr, "checking", "has not passed yet")
	a.setHealth(ok)
	p.reload(policy(addrs(b...), "weighted_random", check) + "\n# again")
	awaitState(t, a.addr, "up", "available")
	a.setHealth(status(http.StatusServiceUnavailable))
	awaitState(t, a.addr, "down", "unhealthy")
	a.setHealth(saying("X-Envoy-Degraded"))
	awaitState(t, a.addr, "degraded", "as it says itself")
	a.setHealth(ok)
	awaitState(t, a.addr, "up", "")
	ordered(t, a, `{"state": "drain"}`)
	awaitState(t, a.addr, "draining", "by an operator")
	ordered(t, a, `{"state": "maintenance", "reason": "disk"}`)
	awaitState(t, a.addr, "maintenance", "disk")
	ready(t, a)
	awaitState(t, a.addr, "up", "")

	p.reload(policy(addrs(b...), "weighted_random", "slow_start 1m"))
	ordered(t, a, `{"state": "drain"}`)
	awaitState(t, a.addr, "draining", "")
	ready(t, a)
	awaitState(t, a.addr, "slow_start", "of its weight")

	p.reload(policy(a.addr, "weighted_random", "max_requests 1"))
	full := make(chan struct{})
	a.set(held(full))
	done := make(chan answer, 1)
	go func() { done <- p.get("/") }()
	awaitState(t, a.addr, "full", "1 of max_requests 1")
	close(full)
	<-done
	awaitState(t, a.addr, "up", "")

	const ejecting = "outlier_detection {\n consecutive_5xx 1\n base_ejection_time 700ms\n}\nretries 0"
	a.set(status(http.StatusInternalServerError))
	p.reload(policy(addrs(b...), "weighted_random", ejecting))
	eventually(t, 3*time.Second, "it has failed", func() bool { return p.get("/").status == 500 })
	awaitState(t, a.addr, "ejected", "ejected for")
	awaitState(t, a.addr, "probation", "on probation")
	a.set(ok)
	eventually(t, 3*time.Second, "it is up", func() bool { p.get("/"); return shown(t, a.addr).State == "up" })
}
