package integration

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// saying answers with a header field.
func saying(field string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(field, "1")
		ok(w, r)
	}
}

func TestTheDegradedServeOnlyWhereOthersFallShort(t *testing.T) {
	if forked(t) {
		return
	}
	b := backends(t, "a", "b", "c", "degraded")
	p := run(t, policy(addrs(b...), "weighted_random", patient("on_response")))
	b[3].setHealth(saying("X-Envoy-Degraded"))
	logs.first(t, 2*time.Second, "upstream is degraded", "upstream", b[3].addr)
	l := p.load(atLength(500, 1500))
	l.expectShare(t, "three of four are well", "degraded", 0)
	b[0].setHealth(status(http.StatusServiceUnavailable))
	awaitDown(t, b[0])
	// Two of four, overprovisioned by 1.4, are good for 70 %.
	l.expectShare(t, "two of four are well", "degraded", 30)
	setHealth(b[1:3], status(http.StatusServiceUnavailable))
	awaitDown(t, b[1:3]...)
	l.expectShare(t, "nobody is well", "degraded", 100)
	b[3].setHealth(ok)
	setHealth(b[:3], ok)
	logs.first(t, 2*time.Second, "upstream is no longer degraded", "upstream", b[3].addr)
	eventually(t, 2*time.Second, "all are well", func() bool { return logs.count("upstream is healthy") == 3 })
	l.expectShare(t, "all are well", "degraded", 25)
	if counts := l.stop(); counts.failures() > 0 {
		t.Errorf("requests failed: %v", counts)
	}
}

func TestAResponseMayTakeItsUpstreamOutAtOnce(t *testing.T) {
	b := backends(t, "a", "b")
	p := run(t, policy(addrs(b...), "smooth_weighted_round_robin", patient("on_response")))
	eventually(t, 2*time.Second, "probes", func() bool { return b[0].probes.Load() > 1 && b[1].probes.Load() > 1 })
	setHealth(b, ok)
	b[1].setHealth(status(http.StatusServiceUnavailable)) // else it is back after two probes
	b[1].set(saying("X-Envoy-Immediate-Health-Check-Fail"))
	b[1].requests.Store(0)
	logs.reset()
	eventually(t, 2*time.Second, "it says so", func() bool { return p.get("/").from() == "b" })
	logs.first(t, time.Second, "upstream is unhealthy", "upstream", b[1].addr)
	if reason := logs.find("upstream is unhealthy")[0]["reason"]; !strings.HasPrefix(reason, "response has the header") {
		t.Errorf("reason is %q", reason)
	}
	eventually(t, time.Second, "picks know", func() bool { return p.sequence(6) == "a a a a a a" })
	b[1].set(ok)
	b[1].setHealth(ok)
	eventually(t, 2*time.Second, "b is back", func() bool { return p.get("/").from() == "b" })
}
