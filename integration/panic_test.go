package integration

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// quick is a check that decides fast; its result is that of the first probe.
const quick = "health_check http " + healthPath + " {\n interval 100ms\n timeout 300ms\n fails 2\n}"

// checking is quick for upstreams that get nothing before they have passed.
const checking = "health_check http " + healthPath + " {\n interval 100ms\n timeout 300ms\n fails 2\n initial checking\n}"

// awaitDown waits until the backends' failing checks are noticed.
func awaitDown(t *testing.T, all ...*backend) {
	t.Helper()
	for _, b := range all {
		eventually(t, 5*time.Second, b.name+" is logged as down", func() bool {
			return logs.count("upstream is unhealthy", "upstream", b.addr) > 0
		})
	}
}

func TestWhenAllAreDownTrafficGoesOn(t *testing.T) {
	b := backends(t, "a", "b")
	setHealth(b, status(http.StatusServiceUnavailable))
	p := run(t, policy(addrs(b...), "smooth_weighted_round_robin", quick))
	awaitDown(t, b...)
	// The rotation begins anew with the verdicts, a moment after they are logged.
	eventually(t, 5*time.Second, "both serve in turn", func() bool {
		got := p.sequence(4)
		return got == "a b a b" || got == "b a b a"
	})
	if n := logs.count("no upstream left"); n != 0 {
		t.Errorf("%d log lines say that no upstream was left", n)
	}
}

func TestWithoutPanicAllDownIs503AndTheLogSaysWhy(t *testing.T) {
	if forked(t) {
		return
	}
	b := backends(t, "a", "b", "c")
	b[0].setHealth(status(http.StatusServiceUnavailable))
	b[1].stop()
	p := run(t, policy(addrs(b...), "smooth_weighted_round_robin", "panic_threshold 0\n weight 0 "+b[2].addr+"\n"+quick))
	awaitDown(t, b[0], b[1])
	if a := p.get("/"); a.status != http.StatusServiceUnavailable {
		t.Fatalf("all are down: %v", a)
	}
	lines := logs.find("no upstream left")
	if len(lines) != 1 {
		t.Fatalf("%d log lines, want one", len(lines))
	}
	for _, reason := range []string{
		b[0].addr + ": unhealthy: http check: status 503, expected 200-299",
		b[1].addr + ": unhealthy: http check: dial tcp " + b[1].addr + ": connection refused",
		b[2].addr + ": weight is 0",
	} {
		if !strings.Contains(lines[0]["upstreams"], reason) {
			t.Errorf("log has %q, want also %q", lines[0]["upstreams"], reason)
		}
	}
}

func TestBelowThePanicThresholdVerdictsAreIgnored(t *testing.T) {
	b := backends(t, "a", "b", "c", "d")
	p := run(t, policy(addrs(b...), "smooth_weighted_round_robin", "panic_threshold 50%\n"+quick))
	b[0].setHealth(status(http.StatusServiceUnavailable))
	b[1].setHealth(status(http.StatusServiceUnavailable))
	awaitDown(t, b[0], b[1])
	if got := p.sequence(8); strings.ContainsAny(got, "ab") {
		t.Errorf("half are healthy, which is enough: %s", got)
	}
	b[2].setHealth(status(http.StatusServiceUnavailable))
	awaitDown(t, b[2])
	eventually(t, time.Second, "all get traffic", func() bool {
		got := p.sequence(4)
		return strings.Contains(got, "a") && strings.Contains(got, "b") && strings.Contains(got, "c")
	})
}

func TestInitialCheckingGetsNothingBeforeTheFirstPass(t *testing.T) {
	b := start(t, "a")
	release := make(chan struct{})
	b.setHealth(held(release))
	p := run(t, policy(b.addr, "smooth_weighted_round_robin", strings.Replace(checking, "300ms", "10s", 1)))
	holds(t, 500*time.Millisecond, "503 while the first probe is under way", func() bool {
		return p.get("/").status == http.StatusServiceUnavailable
	})
	lines := logs.find("no upstream left")
	if want := b.addr + ": checking: http check has not passed yet"; len(lines) == 0 || !strings.Contains(lines[0]["upstreams"], want) {
		t.Errorf("log has %v, want %q", lines, want)
	}
	close(release)
	eventually(t, 3*time.Second, "200 after the first pass", func() bool { return p.get("/").status == http.StatusOK })
	if n := b.requests.Load(); n != 1 {
		t.Errorf("got %d requests, want only the one after the first pass", n)
	}
}

func TestInitialCheckingStaysOutWhileProbesFail(t *testing.T) {
	b := start(t, "a")
	b.setHealth(status(http.StatusServiceUnavailable))
	p := run(t, policy(b.addr, "smooth_weighted_round_robin", checking))
	awaitDown(t, b)
	holds(t, 300*time.Millisecond, "503 although nobody else is there: it has never passed", func() bool {
		return p.get("/").status == http.StatusServiceUnavailable
	})
	b.setHealth(ok)
	eventually(t, 3*time.Second, "200 after it has passed", func() bool { return p.get("/").status == http.StatusOK })
}

const panicLogged = "panic: too few upstreams are healthy, so verdicts of checks and ejections are ignored"

func TestPanicIsToldOnceOverReloads(t *testing.T) {
	b := backends(t, "a", "b")
	site := policy(addrs(b...), "smooth_weighted_round_robin", quick)
	p := run(t, site, recordAll)
	count := func(change string) float64 {
		return metric(t, `panic_changes_total{change="`+change+`",pool="smooth_weighted_round_robin@`+b[0].addr+`"}`)
	}
	entered, left := count("entered"), count("left")
	expect := func(what, message string, counted float64) {
		t.Helper()
		eventually(t, 3*time.Second, "panic is "+what, func() bool { return events.count("panic_"+what) > 0 })
		p.reload(site)
		p.sequence(4)
		lines, told := logs.find(message), events.find("panic_"+what)
		if n := count(what) - counted; len(lines) != 1 || len(told) != 1 || n != 1 {
			t.Errorf("panic %s: %d log lines, %d events, counted %v times, want one of each", what, len(lines), len(told), n)
		}
	}
	setHealth(b, status(http.StatusServiceUnavailable))
	expect("entered", panicLogged, entered)
	p.reload(site)
	setHealth(b, ok)
	expect("left", "panic is over: verdicts of checks and ejections count again", left)
	if n := count("entered") - entered; n != 1 || events.count("panic_entered") != 1 {
		t.Errorf("panic entered again: counted %v times, %d events", n, events.count("panic_entered"))
	}
}

func TestPanicIsNotToldAgainWhereAnotherOptionHasChanged(t *testing.T) {
	b := backends(t, "a", "b")
	setHealth(b, status(http.StatusServiceUnavailable))
	p := run(t, policy(addrs(b...), "smooth_weighted_round_robin", quick))
	logs.first(t, 3*time.Second, panicLogged)
	p.reload(policy(addrs(b...), "smooth_weighted_round_robin", "retries 3\n"+quick))
	p.sequence(4)
	if n := logs.count(panicLogged); n != 1 {
		t.Errorf("%d log lines, want one", n)
	}
}

func TestUpstreamsThatAreStillCheckedAreNoPanic(t *testing.T) {
	b := backends(t, "a", "b")
	run(t, policy(addrs(b...), "smooth_weighted_round_robin", checking), recordAll)
	eventually(t, 3*time.Second, "both have passed", func() bool { return logs.count("upstream is healthy") == 2 })
	if n := logs.count(panicLogged) + events.count("panic_entered") + events.count("panic_left"); n != 0 {
		t.Errorf("%d log lines and events", n)
	}
}
