package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// How fast the checks here decide. The product promises that an upstream is
// out within fails × (interval + timeout) + jitter; tests allow twice that.
const (
	interval = 150 * time.Millisecond
	timeout  = 250 * time.Millisecond
	outFails = 2
	inPasses = 2
	outBound = 2 * (outFails*(interval+timeout) + interval/10)
	inBound  = 2 * (inPasses*(interval+timeout) + interval/10)
)

// check is a health check with the times above.
func check(checker string, options ...string) string {
	return fmt.Sprintf("health_check %s {\n interval %s\n timeout %s\n fails %d\n passes %d\n %s\n}",
		checker, interval, timeout, outFails, inPasses, strings.Join(options, "\n"))
}

// recordAll subscribes to the plugin's events.
const recordAll = `events {
	on healthy record
	on unhealthy record
	on degraded record
	on undegraded record
	on orders_changed record
	on ejected record
	on unejected record
	on panic_entered record
	on panic_left record
}`

// breakAndMend breaks backend b beside a, and mends it, as seen by a check of
// the given name: traffic must stop and come back in time, with one log line
// and one event each.
func breakAndMend(t *testing.T, p *proxy, name string, b, other *backend, how func(), mend func(), reason string) {
	t.Helper()
	// A first result decides at once, so that it must be in before.
	eventually(t, 2*time.Second, "the first probe", func() bool { return b.probes.Load() > 1 })
	logs.reset()
	events.reset()

	how()
	eventually(t, outBound, "out", func() bool { return logs.count("upstream is unhealthy") > 0 })
	b.requests.Store(0)
	for range 10 {
		if a := p.get("/"); a.status != http.StatusOK || a.from() != other.name {
			t.Fatalf("%s is out: %v", b.name, a)
		}
	}
	if n := b.requests.Load(); n != 0 {
		t.Errorf("%s is out and got %d requests", b.name, n)
	}

	mend()
	eventually(t, inBound, "in again", func() bool { return logs.count("upstream is healthy") > 0 })
	eventually(t, time.Second, "traffic again", func() bool { return p.get("/").from() == b.name })

	expectFlips(t, b.addr, b.addr, name, reason)
}

// expectFlips expects exactly one log line and one event for the way down and
// for that up again. Host is what was probed.
func expectFlips(t *testing.T, upstream, host, check, reason string) {
	t.Helper()
	expectFlip(t, "unhealthy", upstream, host, check, reason)
	expectFlip(t, "healthy", upstream, host, check, "passed")
}

func expectFlip(t *testing.T, to, upstream, host, check, reason string) {
	t.Helper()
	from, level := "healthy", "warn"
	if to == "healthy" {
		from, level = "unhealthy", "info"
	}
	eventually(t, time.Second, "a log line and an event "+to, func() bool {
		return logs.count("upstream is "+to) > 0 && events.count(to) > 0
	})
	lines, told := logs.find("upstream is "+to), events.find(to)
	if len(lines) != 1 || len(told) != 1 {
		t.Errorf("%d log lines and %d events, want one each:\n%v\n%v", len(lines), len(told), lines, told)
	}
	for _, got := range append(lines, told...) {
		for key, want := range map[string]string{"upstream": upstream, "check": check, "from": from, "to": to} {
			if got[key] != want {
				t.Errorf("%s is %q, want %q, in %v", key, got[key], want, got)
			}
		}
		if !strings.Contains(got["reason"], reason) {
			t.Errorf("reason is %q, want %q", got["reason"], reason)
		}
		counts := fmt.Sprintf("passes %s, fails %s", got["passes"], got["fails"])
		want := map[string]string{"healthy": "passes 2, fails 0", "unhealthy": "passes 0, fails 2"}[to]
		if counts != want {
			t.Errorf("%s, want %s", counts, want)
		}
	}
	if lines[0]["level"] != level {
		t.Errorf("level is %s, want %s", lines[0]["level"], level)
	}
	if got := told[0]["host"]; got != host {
		t.Errorf("the event's host is %q, want %q", got, host)
	}
}

func TestHTTPCheckTakesTheBrokenOutAndBack(t *testing.T) {
	if forked(t) {
		return
	}
	refused := func(b *backend) string { return "connection refused" }
	for name, c := range map[string]struct {
		how    http.HandlerFunc // nil: the listener is closed
		reason func(*backend) string
	}{
		"status 500": {status(500), func(*backend) string { return "status 500, expected 200-299" }},
		"hangs":      {hang, func(*backend) string { return "timeout after " }},
		"drops":      {drop, func(*backend) string { return "connection closed by the upstream" }},
		"refuses":    {nil, refused},
	} {
		t.Run(name, func(t *testing.T) {
			b := backends(t, "a", "b")
			p := run(t, policy(addrs(b...), "smooth_weighted_round_robin", check("http "+healthPath)), recordAll)
			how, mend := func() { b[1].set(c.how) }, func() { b[1].set(ok) }
			if c.how == nil {
				how, mend = b[1].stop, func() { b[1].start(t) }
			}
			breakAndMend(t, p, "http", b[1], b[0], how, mend, c.reason(b[1]))
		})
	}
}

func TestHTTPCheckExpectsWhatItIsTold(t *testing.T) {
	if forked(t) {
		return
	}
	answer := func(text, version string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Version", version)
			fmt.Fprintf(w, `{"state": %q}`, text)
		}
	}
	for name, c := range map[string]struct {
		option, reason string
		bad            http.HandlerFunc
	}{
		"body":       {`expect_body ready`, "body does not match /ready/", answer("draining", "2")},
		"header":     {`expect_header X-Version ^2`, `header X-Version is "1", expected to match /^2/`, answer("ready", "1")},
		"expression": {`expect "json.state == 'ready'"`, "json.state == 'ready'", answer("draining", "2")},
		"status":     {`expect_status 2xx 404`, "status 302", status(http.StatusFound)},
	} {
		t.Run(name, func(t *testing.T) {
			b := backends(t, "a", "b")
			for _, b := range b {
				b.setHealth(answer("ready", "2"))
			}
			p := run(t, policy(addrs(b...), "smooth_weighted_round_robin", check("http "+healthPath, c.option, "name ready")), recordAll)
			breakAndMend(t, p, "ready", b[1], b[0],
				func() { b[1].setHealth(c.bad) }, func() { b[1].setHealth(answer("ready", "2")) }, c.reason)
		})
	}
}

func TestAllChecksMustPass(t *testing.T) {
	b := backends(t, "a", "b")
	p := run(t, policy(addrs(b...), "smooth_weighted_round_robin",
		check("http "+healthPath)+"\n"+check("http /deep", "name deep")), recordAll)
	eventually(t, 2*time.Second, "the first probe of the second check", func() bool { return b[1].requests.Load() > 0 })
	// Only the second fails.
	how := func() {
		b[1].set(status(500))
		b[1].setHealth(ok)
	}
	breakAndMend(t, p, "deep", b[1], b[0], how, func() { b[1].set(ok) }, "status 500")
}

func TestAFailingFirstProbeDecidesAtOnce(t *testing.T) {
	b := backends(t, "a", "b")
	b[1].setHealth(status(500))
	began := time.Now()
	run(t, policy(addrs(b...), "smooth_weighted_round_robin",
		"health_check http "+healthPath+" {\n interval 5s\n}"))
	// The first probe is due within a second, the second after five.
	eventually(t, 2*time.Second, "out", func() bool { return logs.count("upstream is unhealthy", "upstream", b[1].addr) == 1 })
	t.Logf("out after %s", time.Since(began))
}

func TestProbesThatAgreeLogNothing(t *testing.T) {
	b := backends(t, "a", "b")
	run(t, policy(addrs(b...), "smooth_weighted_round_robin", check("http "+healthPath)), recordAll)
	eventually(t, 5*time.Second, "some probes", func() bool { return b[0].probes.Load() > 5 && b[1].probes.Load() > 5 })
	for _, msg := range []string{"upstream is healthy", "upstream is unhealthy"} {
		if n := logs.count(msg); n != 0 {
			t.Errorf("%d lines %q", n, msg)
		}
	}
	if n := events.count("healthy") + events.count("unhealthy"); n != 0 {
		t.Errorf("%d events", n)
	}
}

func TestOneFailureAmongPassesIsForgiven(t *testing.T) {
	if forked(t) {
		return
	}
	b := backends(t, "a", "b")
	b[1].setHealth(func(w http.ResponseWriter, r *http.Request) {
		if b[1].probes.Load()%2 == 0 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	run(t, policy(addrs(b...), "smooth_weighted_round_robin", check("http "+healthPath)))
	eventually(t, 5*time.Second, "some probes", func() bool { return b[1].probes.Load() > 8 })
	if n := logs.count("upstream is unhealthy"); n != 0 {
		t.Errorf("logged as down: fails 2 means two in a row")
	}
}
