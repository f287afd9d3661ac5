package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestAFailedReloadLeavesTheRunningConfigAlone(t *testing.T) {
	if forked(t) {
		return
	}
	b := backends(t, "a", "b")
	good := policy(addrs(b...), "smooth_weighted_round_robin", check("http "+healthPath))
	for name, bad := range map[string]string{
		"weight of no upstream": policy(addrs(b...), "smooth_weighted_round_robin",
			"weight 3 192.0.2.1:80\n"+check("http "+healthPath)),
		"fails after the policy":  good + "\n reverse_proxy " + b[0].addr + " {\n transport http {\n tls_trust_pool file /nowhere.pem\n}\n}",
		"fails before the policy": "log {\n output file /proc/nowhere/x\n}\n" + good,
	} {
		t.Run(name, func(t *testing.T) {
			p := run(t, good)
			if err := p.tryReload(bad); err == nil {
				t.Fatal("the bad config was taken")
			}
			if got, want := p.sequence(4), "a b a b"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			before := b[1].probes.Load()
			eventually(t, 5*interval, "probes go on", func() bool { return b[1].probes.Load() >= before+2 })
			b[1].setHealth(status(500))
			awaitDown(t, b[1])
			eventually(t, time.Second, "only a", func() bool { return p.sequence(3) == "a a a" })
			b[1].setHealth(ok)
			eventually(t, inBound, "in again", func() bool { return logs.count("upstream is healthy") == 1 })
		})
	}
}

func TestAReloadKeepsTheVerdict(t *testing.T) {
	if forked(t) {
		return
	}
	b := backends(t, "a", "b", "c")
	site := func(policyName, check string) string { return policy(addrs(b...), policyName, check) }
	before := site("smooth_weighted_round_robin", check("http "+healthPath))
	for name, after := range map[string]string{
		"nothing changed": before,
		"other times":     site("smooth_weighted_round_robin", "health_check http "+healthPath+" {\n interval 700ms\n fails 5\n passes 5\n}"),
		"other path":      site("smooth_weighted_round_robin", check("http /health?deep")),
		"other policy":    site("least_request", check("http "+healthPath)),
		"other transport": policy(addrs(b...), "smooth_weighted_round_robin", check("http "+healthPath),
			"transport http {\n dial_timeout 1s\n}"),
		"initial checking": site("smooth_weighted_round_robin", check("http "+healthPath, "initial checking")),
	} {
		t.Run(name, func(t *testing.T) {
			b[2].setHealth(status(500))
			b[0].probes.Store(0)
			b[1].probes.Store(0)
			p := run(t, before)
			awaitDown(t, b[2])
			eventually(t, time.Second, "a and b have passed", func() bool { return b[0].probes.Load() > 1 && b[1].probes.Load() > 1 })
			b[2].requests.Store(0)
			p.reload(after)
			if got := p.sequence(9); strings.Contains(got, "c") {
				t.Errorf("c is down: %s", got)
			}
			holds(t, 3*interval, "c gets nothing", func() bool {
				return p.get("/").status == http.StatusOK && b[2].requests.Load() == 0
			})
			if n := logs.count("upstream is unhealthy"); n != 1 {
				t.Errorf("%d log lines, want only the one before the reload", n)
			}
			b[2].setHealth(ok)
			eventually(t, 10*time.Second, "up again", func() bool { return logs.count("upstream is healthy", "upstream", b[2].addr) == 1 })
		})
	}
}

func TestAReloadToAnInitialCheckNeverLeavesAGap(t *testing.T) {
	b := backends(t, "a", "b")
	site := policy(addrs(b...), "smooth_weighted_round_robin", "panic_threshold 0\n"+checking)
	p := run(t, site)
	eventually(t, 3*time.Second, "both have passed", func() bool { return logs.count("upstream is healthy") == 2 })
	l := p.load(100)
	for i := range 10 {
		p.reload(strings.Replace(site, "fails 2", fmt.Sprint("fails ", 2+i%2), 1))
		before := l.answers("a")
		eventually(t, 5*time.Second, "answers", func() bool { return l.answers("a") > before })
	}
	if counts := l.stop(); len(counts.failed) > 0 {
		t.Error(counts)
	}
}

func TestProbesAndEventsOfTheOldConfigStop(t *testing.T) {
	if forked(t) {
		return
	}
	b := backends(t, "a", "b")
	p := run(t, policy(addrs(b...), "smooth_weighted_round_robin", quick), recordAll)
	eventually(t, 2*time.Second, "probes", func() bool { return b[0].probes.Load() > 1 && b[1].probes.Load() > 1 })
	t.Run("an upstream less", func(t *testing.T) {
		p.reload(policy(b[0].addr, "smooth_weighted_round_robin", quick))
		before := b[1].probes.Load()
		holds(t, 600*time.Millisecond, "b is not probed", func() bool { return b[1].probes.Load() == before })
	})
	t.Run("no check", func(t *testing.T) {
		p.reload(policy(addrs(b...), "smooth_weighted_round_robin", ""))
		before := b[0].probes.Load() + b[1].probes.Load()
		b[0].setHealth(status(500))
		holds(t, 600*time.Millisecond, "nobody is probed", func() bool { return b[0].probes.Load()+b[1].probes.Load() == before })
		if n := events.count("unhealthy") + logs.count("upstream is unhealthy"); n != 0 {
			t.Errorf("%d events or log lines after the end of the check", n)
		}
	})
}

func TestOneProbeForEqualChecks(t *testing.T) {
	if forked(t) {
		return
	}
	b := start(t, "a")
	one := policy(b.addr, "smooth_weighted_round_robin", "health_check http "+healthPath+" {\n interval 200ms\n jitter 0%\n}")
	two := strings.Replace(one, "smooth_weighted_round_robin", "peak_ewma", 1)
	p := run(t, "handle /one {\n"+one+"\n}\n handle {\n"+two+"\n}")
	eventually(t, 2*time.Second, "probes", func() bool { return b.probes.Load() > 0 })
	before := b.probes.Load()
	holds(t, time.Second, "both get answers", func() bool {
		return p.get("/one").status == http.StatusOK && p.get("/").status == http.StatusOK
	})
	if n := b.probes.Load() - before; n < 3 || n > 6 {
		t.Errorf("%d probes in a second, want five", n)
	}
}

func TestAReloadDuringAProbeDoesNotCount(t *testing.T) {
	b := backends(t, "a", "b")
	site := policy(addrs(b...), "smooth_weighted_round_robin", "health_check http "+healthPath+" {\n interval 100ms\n timeout 5s\n fails 1\n}")
	p := run(t, site)
	eventually(t, 2*time.Second, "probes", func() bool { return b[1].probes.Load() > 1 })
	b[1].setHealth(hang)
	before := b[1].probes.Load()
	eventually(t, 2*time.Second, "a probe hangs", func() bool { return b[1].probes.Load() > before })
	for range 3 {
		before := b[1].probes.Load()
		p.reload(site)
		eventually(t, 2*time.Second, "the next probe", func() bool { return b[1].probes.Load() > before })
	}
	if n := logs.count("upstream is unhealthy"); n != 0 {
		t.Error("a probe that a reload has cut off counts as failed")
	}
}
