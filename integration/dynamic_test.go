package integration

import (
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"
)

// dynamic is a handler over the members of a source.
func dynamic(name, source, options string, directives ...string) string {
	return policy("", name, options, append(directives, "dynamic "+source)...)
}

// expireSoon has addresses that are gone forgotten soon.
const expireSoon = "load_balancer {\n dynamic_expiry 1s\n}"

func TestDynamicDownUpstreamGetsNothing(t *testing.T) {
	if forked(t) {
		return
	}
	for _, name := range policies {
		t.Run(name, func(t *testing.T) {
			b := backends(t, "a", "b", "down")
			members.set("test", b...)
			b[2].setHealth(status(500))
			p := run(t, dynamic(name, "shuffled test", quick), expireSoon)
			l := p.load(100)
			awaitDown(t, b[2])
			b[2].requests.Store(0)
			before := l.answers("a") + l.answers("b")
			eventually(t, 5*time.Second, "others go on", func() bool { return l.answers("a")+l.answers("b") > before+50 })
			if n := b[2].requests.Load(); n > 1 { // one may have been picked before
				t.Errorf("down and got %d requests", n)
			}
			b[2].setHealth(ok)
			if name != "peak_ewma" { // which may find others faster for some seconds
				eventually(t, 3*time.Second, "up again", func() bool { return l.answers("down") > 1 })
			}
			if counts := l.stop(); counts.failures() > 0 {
				t.Error(counts)
			}
		})
	}
}

func TestDynamicUpstreamsTakeTurns(t *testing.T) {
	b := backends(t, "a", "b", "c")
	members.set("test", b...)
	p := run(t, dynamic("smooth_weighted_round_robin", "shuffled test", "weight 5 "+b[0].addr))
	got, want := p.shares(70), map[string]int{"a": 50, "b": 10, "c": 10}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestDynamicRetriesAvoidTheTried(t *testing.T) {
	for _, name := range policies {
		t.Run(name, func(t *testing.T) {
			b := backends(t, "a", "b", "c")
			members.set("test", b...)
			b[0].stop()
			b[1].stop()
			p := run(t, dynamic(name, "shuffled test", ""))
			for range 30 {
				if a := p.get("/"); a.status != http.StatusOK {
					t.Fatal(a)
				}
			}
		})
	}
}

func TestDynamicUpstreamsComeAndGo(t *testing.T) {
	if forked(t) {
		return
	}
	b := backends(t, "a", "b", "c")
	members.set("test", b[:2]...)
	p := run(t, dynamic("smooth_weighted_round_robin", "shuffled test", quick), expireSoon)
	l := p.load(50)
	eventually(t, 3*time.Second, "a and b are probed", func() bool { return b[0].probes.Load() > 0 && b[1].probes.Load() > 0 })

	b[2].setHealth(status(500))
	members.set("test", b...)
	eventually(t, 2*time.Second, "c is probed", func() bool { return b[2].probes.Load() > 0 })
	awaitDown(t, b[2])

	members.set("test", b[0], b[2])
	before := b[1].requests.Load()
	eventually(t, time.Second, "b gets nothing", func() bool {
		now := b[1].requests.Load()
		same := now == before
		before = now
		return same
	})
	// Its probes go on for dynamic_expiry and a little more.
	probes, since := b[1].probes.Load(), time.Now()
	eventually(t, 8*time.Second, "b is not probed any more", func() bool {
		if now := b[1].probes.Load(); now != probes {
			probes, since = now, time.Now()
		}
		return time.Since(since) > 500*time.Millisecond
	})
	if b[0].probes.Load() == 0 || b[2].probes.Load() == 0 {
		t.Error("others are not probed either")
	}

	members.set("test", b...)
	eventually(t, 2*time.Second, "b is probed again", func() bool { return b[1].probes.Load() > probes })
	if counts := l.stop(); counts.failures() > 0 {
		t.Error(counts)
	}
}

func TestDynamicVerdictSurvivesAShortAbsence(t *testing.T) {
	b := backends(t, "a", "b", "down")
	members.set("test", b...)
	b[2].setHealth(status(500))
	p := run(t, dynamic("smooth_weighted_round_robin", "shuffled test", quick), expireSoon)
	p.sequence(1)
	awaitDown(t, b[2])
	for range 5 {
		members.set("test", b[:2]...)
		p.sequence(3)
		members.set("test", b...)
		if got := p.sequence(6); strings.Contains(got, "down") {
			t.Fatal(got)
		}
	}
}

func TestDynamicVerdictSurvivesAReload(t *testing.T) {
	b := backends(t, "a", "b", "down")
	members.set("test", b...)
	b[2].setHealth(status(500))
	// The next probe is far away, so that only what is known already counts.
	slow := "health_check http " + healthPath + " {\n interval 10s\n}"
	site := dynamic("smooth_weighted_round_robin", "shuffled test", slow)
	p := run(t, site)
	p.sequence(1)
	awaitDown(t, b[2])
	if got := p.sequence(6); strings.Contains(got, "down") {
		t.Fatal(got)
	}
	p.reload(site) // with no request meanwhile
	if got := p.sequence(6); strings.Contains(got, "down") {
		t.Errorf("known to be down before the reload: %s", got)
	}
}

func TestDynamicMulti(t *testing.T) {
	b := backends(t, "a", "b", "c", "down")
	members.set("one", b[0], b[3])
	members.set("two", b[1], b[2])
	b[3].setHealth(status(500))
	p := run(t, dynamic("smooth_weighted_round_robin", "multi {\n shuffled one\n shuffled two\n}", quick), expireSoon)
	p.sequence(1)
	awaitDown(t, b[3])
	got := p.sequence(9)
	if strings.Count(got, "a") != 3 || strings.Count(got, "b") != 3 || strings.Count(got, "c") != 3 {
		t.Errorf("got %s, want three of each", got)
	}
}

func TestDynamicSourceThatReturnsNobody(t *testing.T) {
	if forked(t) {
		return
	}
	b := backends(t, "a")
	members.set("test")
	p := run(t, dynamic("smooth_weighted_round_robin", "shuffled test", quick), expireSoon)
	if a := p.get("/"); a.status != http.StatusServiceUnavailable {
		t.Error(a)
	}
	members.set("test", b...)
	p.sequence(3)
}

func TestDynamicManagedCookieSticks(t *testing.T) {
	b := backends(t, "a", "b", "c")
	members.set("test", b...)
	p := run(t, dynamic("managed cookie lb secret", "shuffled test", quick), expireSoon)
	first := p.get("/")
	cookie := onlyCookie(t, first)
	for range 20 {
		if a := p.get("/", "Cookie", cookie); a.from() != first.from() {
			t.Fatalf("cookie of %s led to: %v", first.from(), a)
		}
	}
}
