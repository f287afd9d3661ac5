package integration

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// numSessions is for tests that show that none of many is lost.
const numSessions = 1000

// sticky is a handler over the backends that keeps sessions, with a secret.
func sticky(b []*backend, options ...string) string {
	return policy(addrs(b...), "sticky", "secret a-secret-of-some-length\n"+strings.Join(options, "\n"))
}

func TestSessionsOfADrainedUpstreamStayAndThoseOfADeadOneMove(t *testing.T) {
	if forked(t) {
		return
	}
	b := backends(t, "a", "b", "c", "d")
	d := b[3]
	p := run(t, sticky(b, patient()))
	c := newAudience(t, p, byCookie)
	c.join(numSessions)
	there := with("d", c.all)
	t.Logf("%d of them are with d", there)
	if there == 0 {
		t.Fatal("d has none")
	}
	c.visit("undisturbed", came{stayed: numSessions})

	p.reload(sticky(b, patient(), "weight 0 "+d.addr))
	c.visit("d is drained", came{stayed: numSessions})
	if n := with("d", c.join(100)); n != 0 {
		t.Errorf("d is drained and got %d new sessions", n)
	}

	d.stop()
	const total = numSessions + 100
	c.visit("d is dead", came{stayed: total - there, moved: there})
	c.visit("and once more", came{stayed: total})

	logs.first(t, 5*time.Second, "upstream is unhealthy", "upstream", d.addr)
	d.start(t)
	logs.first(t, 5*time.Second, "upstream is healthy", "upstream", d.addr)
	p.reload(sticky(b, patient()))
	c.visit("d is back", came{stayed: total})
	if with("d", c.join(100)) == 0 {
		t.Error("d is back and got no new session of a hundred")
	}
	c.visit("with the new ones", came{stayed: total + 100})
}

// TestSessionsOfTheKilledMoveOnce has one of four killed, and started again, while
// the sessions are in use.
func TestSessionsOfTheKilledMoveOnce(t *testing.T) {
	if forked(t) {
		return
	}
	b, killed := backends(t, "a", "b", "c"), &child{name: "killed", addr: freeAddr(), takes: 5 * time.Millisecond}
	killed.start(t)
	p := run(t, policy(addrs(b...)+" "+killed.addr, "sticky", "secret a-secret-of-some-length\n"+patient()))
	total := atLength(300, 5000)
	c := newAudience(t, p, byCookie)
	c.join(total)
	there := with("killed", c.all)
	load, sum := c.keepComing()
	load.rounds(1)
	killed.kill()
	load.rounds(1)
	logs.first(t, 5*time.Second, "upstream is unhealthy", "upstream", killed.addr)
	killed.start(t)
	logs.first(t, 5*time.Second, "upstream is healthy", "upstream", killed.addr)
	load.rounds(1)
	n := load.stop()
	if want := (came{stayed: total*n - there, moved: there}); *sum != want {
		t.Errorf("in %d rounds: %v, want %v", n, sum, want)
	}
	t.Logf("in %d rounds: %v", n, sum)
	if with("killed", c.join(100)) == 0 {
		t.Error("it is back and got no new session of a hundred")
	}
}

func TestSessionsOfAnUpstreamThatItsAgentDrainsStay(t *testing.T) {
	b, agents, port := startAgents(t, "a", "b", "c", "d")
	p := run(t, sticky(b, "health_check agent "+port+" {\n interval 50ms\n timeout 5s\n}"))
	c := newAudience(t, p, byCookie)
	n := atLength(300, numSessions)
	c.join(n)
	say := func(line, to string) {
		logs.reset()
		agents[3].say(line)
		logs.first(t, 5*time.Second, "upstream has changed its orders", "upstream", b[3].addr, "to", to)
	}
	say("drain", "drain")
	c.visit("d is drained", came{stayed: n})
	if got := with("d", c.join(100)); got != 0 {
		t.Errorf("d is drained and got %d new sessions", got)
	}
	total := n + 100
	there := with("d", c.all)
	say("maint", "maint")
	c.visit("d is in maintenance", came{stayed: total - there, moved: there})
	say("ready", "none")
	c.visit("d is back", came{stayed: total})
	if with("d", c.join(100)) == 0 {
		t.Error("d is back and got no new session of a hundred")
	}
}

// TestASessionMovesWithinTheRequest has no checks: requests find out who is dead.
func TestASessionMovesWithinTheRequest(t *testing.T) {
	b := backends(t, "a", "b", "c", "d")
	setAll(b, func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "own", Value: "1"})
		ok(w, r)
	})
	p := run(t, sticky(b, calm))
	c := newAudience(t, p, byCookie)
	c.join(100)
	there := with("c", c.all) + with("d", c.all)
	b[2].stop()
	b[3].stop()
	c.visit("c and d are dead", came{stayed: 100 - there, moved: there})
	c.join(100) // where the first pick is dead, the cookie names who answered
	c.visit("and once more", came{stayed: 200})
	if a := p.get("/"); len(a.header.Values("Set-Cookie")) != 2 {
		t.Errorf("the backend's own cookie is to come beside ours: %q", a.header.Values("Set-Cookie"))
	}
}

// TestASessionMovesWhereAnAnswerIsTriedElsewhere has an upstream whose answers
// count as failures.
func TestASessionMovesWhereAnAnswerIsTriedElsewhere(t *testing.T) {
	b := backends(t, "a", "b", "c")
	p := run(t, policy(addrs(b...), "sticky", calm+"\nsecret a-secret-of-some-length",
		"lb_retry_match {\n expression `{http.reverse_proxy.status_code} == 503`\n}"))
	c := newAudience(t, p, byCookie)
	c.join(60)
	there := with("c", c.all)
	b[2].set(func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "lb", Value: "mine"})
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	c.visit("c answers 503", came{stayed: 60 - there, moved: there})
	b[2].set(ok)
	c.visit("c is well", came{stayed: 60})
}

func TestNewSessionsBeginAsTheFallbackSays(t *testing.T) {
	b := backends(t, "a", "b", "c")
	p := run(t, sticky(b, calm, "fallback maglev "+user))
	for _, key := range keys(20) {
		first, again := p.get("/", "X-User", key), p.get("/", "X-User", key)
		if first.from() != again.from() {
			t.Errorf("new sessions of one user: %v, %v", first, again)
		}
		cookie := onlyCookie(t, first)
		if a := p.get("/", "X-User", "other"+key, "Cookie", cookie); a.from() != first.from() {
			t.Errorf("with the cookie of %s: %v", first.from(), a)
		}
	}
}

func TestStrictSessionsWaitForTheirUpstream(t *testing.T) {
	if forked(t) {
		return
	}
	b := backends(t, "a", "b")
	p := run(t, sticky(b, "strict", patient()))
	c := newAudience(t, p, byCookie)
	c.join(200)
	there := with("b", c.all)
	b[1].stop()
	c.visit("b is dead", came{stayed: 200 - there, failed: there})
	logs.first(t, 5*time.Second, "upstream is unhealthy", "upstream", b[1].addr)
	for _, v := range c.all {
		if v.at != "b" {
			continue
		}
		if a := p.get("/", "Cookie", v.token); a.status != http.StatusServiceUnavailable || len(a.header.Values("Set-Cookie")) > 0 {
			t.Fatalf("b is known to be down: %v, %v", a, a.header)
		}
		break
	}
	if n := with("a", c.join(20)); n != 20 {
		t.Errorf("%d of 20 new sessions are with a", n)
	}
	c.visit("b is down", came{stayed: 220 - there, failed: there})
	b[1].start(t)
	logs.first(t, 5*time.Second, "upstream is healthy", "upstream", b[1].addr)
	for _, v := range c.all {
		if v.at == "b" { // what is logged comes to bear a moment later
			eventually(t, 5*time.Second, "b gets its sessions", func() bool {
				return p.get("/", "Cookie", v.token).status == http.StatusOK
			})
			break
		}
	}
	c.visit("b is back", came{stayed: 220})
}
