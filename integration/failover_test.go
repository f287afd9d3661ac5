package integration

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestAKilledUpstreamCostsNoRequest(t *testing.T) {
	if forked(t) {
		return
	}
	quick := check("http " + healthPath)
	for _, name := range policies {
		t.Run(name, func(t *testing.T) {
			killAndRestart(t, func(addrs []string) string { return policy(strings.Join(addrs, " "), name, quick) })
		})
	}
	t.Run("dynamic upstreams", func(t *testing.T) {
		killAndRestart(t, func(addrs []string) string {
			sources := "dynamic multi {\n"
			for _, addr := range addrs {
				sources += "a " + strings.Replace(addr, ":", " ", 1) + "\n"
			}
			return policy("", "peak_ewma", quick, sources+"}")
		})
	})
}

// killAndRestart kills one of three upstreams of the site under load, and starts
// it again.
func killAndRestart(t *testing.T, site func(addrs []string) string) {
	b, c := backends(t, "a", "b"), startChild(t, "killed")
	b[0].set(working)
	b[1].set(working)
	p := run(t, site([]string{b[0].addr, b[1].addr, c.addr}))
	l := p.load(200)
	eventually(t, 5*time.Second, "all get traffic", func() bool { return l.answers(c.name) > 20 })
	c.kill()
	eventually(t, outBound, "out", func() bool { return logs.count("upstream is unhealthy", "upstream", c.addr) == 1 })
	c.start(t)
	eventually(t, inBound+time.Second, "in", func() bool { return logs.count("upstream is healthy", "upstream", c.addr) == 1 })
	before := l.answers(c.name)
	eventually(t, 5*time.Second, "traffic comes back", func() bool { return l.answers(c.name) > before+20 })
	counts := l.stop()
	t.Log(counts)
	if counts.failures() > 0 {
		t.Errorf("requests failed: %v", counts)
	}
}

func TestAHungUpstreamIsLeftAlone(t *testing.T) {
	if forked(t) {
		return
	}
	b := backends(t, "a", "b", "c")
	for _, b := range b {
		b.set(working)
	}
	p := run(t, policy(addrs(b...), "peak_ewma", check("http "+healthPath)))
	l := p.load(100)
	eventually(t, 5*time.Second, "all get traffic", func() bool { return l.answers("c") > 10 })
	b[2].set(hang)
	eventually(t, outBound, "out", func() bool { return logs.count("upstream is unhealthy", "upstream", b[2].addr) == 1 })
	before := b[2].requests.Load()
	total := l.answers("a") + l.answers("b")
	eventually(t, 5*time.Second, "others go on", func() bool { return l.answers("a")+l.answers("b") > total+50 })
	if n := b[2].requests.Load() - before; n > 1 { // one may have been picked before
		t.Errorf("c is out and got %d requests", n)
	}
	b[2].stop() // ends what hangs there; those are retried elsewhere
	if counts := l.stop(); counts.failures() > 0 {
		t.Errorf("requests failed: %v", counts)
	}
}

func TestBothOfTwoDeadUpstreamsAreGotPast(t *testing.T) {
	b := backends(t, "a", "b", "c")
	p := run(t, policy(addrs(b...), "smooth_weighted_round_robin", check("http "+healthPath)))
	l := p.load(100)
	eventually(t, 5*time.Second, "all get traffic", func() bool { return l.answers("c") > 10 })
	b[0].stop()
	b[1].stop()
	awaitDown(t, b[0], b[1])
	if counts := l.stop(); counts.failures() > 0 {
		t.Errorf("requests failed: %v", counts)
	}
	if a := p.get("/"); a.status != http.StatusOK || a.from() != "c" {
		t.Errorf("only c is there: %v", a)
	}
}

func TestWhenHalfOfTheBackendsDie(t *testing.T) {
	if forked(t) {
		return
	}
	for _, name := range policies {
		t.Run(name, func(t *testing.T) {
			b := backends(t, "a", "b", "c", "d")
			setAll(b, working)
			p := run(t, policy(addrs(b...), name, ""))
			l := p.load(atLength(200, 1600))
			eventually(t, 5*time.Second, "all get traffic", func() bool { return l.answers("c") > 10 && l.answers("d") > 10 })
			b[2].stop()
			b[3].stop()
			before := l.answers("a") + l.answers("b")
			eventually(t, 10*time.Second, "the others go on", func() bool { return l.answers("a")+l.answers("b") > before+atLength(60, 10_000) })
			counts := l.stop()
			t.Log(counts)
			if counts.failures() > 0 {
				t.Errorf("requests failed: %v", counts)
			}
		})
	}
}

func TestWhenABackendDiesInTheMiddleOfReloads(t *testing.T) {
	if forked(t) {
		return
	}
	b, c := backends(t, "a", "b"), startChild(t, "killed")
	setAll(b, working)
	site := policy(addrs(b...)+" "+c.addr, "peak_ewma", "slow_start 1s\n"+check("http "+healthPath))
	p := run(t, site)
	l := p.load(200)
	eventually(t, 5*time.Second, "all get traffic", func() bool { return l.answers(c.name) > 10 })
	c.kill()
	p.reload(site)
	logs.first(t, outBound, "upstream is unhealthy", "upstream", c.addr)
	p.reload(site)
	c.start(t)
	p.reload(site)
	logs.first(t, inBound+time.Second, "upstream is healthy", "upstream", c.addr)
	before := l.answers(c.name)
	p.reload(site)
	eventually(t, 5*time.Second, "traffic comes back", func() bool { return l.answers(c.name) > before+10 })
	counts := l.stop()
	t.Log(counts)
	// Caddy loses a connection now and then when listeners change hands.
	if len(counts.failed) > 0 || sum(counts.lost) > 2 {
		t.Errorf("requests failed: %v", counts)
	}
}
