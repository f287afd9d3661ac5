package integration

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	oldSecret = "the-secret-that-was-used-so-far"
	newSecret = "the-secret-that-comes-after-it"
	noSecret  = "no secret: sessions end when this process does, and other instances do not know them"
)

func TestSecretsAreRotatedUnderLoad(t *testing.T) {
	b := backends(t, "a", "b", "c", "d")
	site := func(secrets string) string { return policy(addrs(b...), "sticky", calm+"\nsecret "+secrets) }
	p := run(t, site(oldSecret))
	c := newAudience(t, p, byCookie)
	idle := newAudience(t, p, byCookie)
	c.join(numSessions)
	idle.join(50)

	load, sum := c.keepComing()
	load.rounds(1)
	p.reload(site(newSecret + " " + oldSecret))
	load.rounds(1)
	p.reload(site(newSecret))
	load.rounds(1)
	n := load.stop()
	if want := (came{stayed: numSessions * n, renewed: numSessions}); *sum != want {
		t.Errorf("in %d rounds: %v, want %v", n, sum, want)
	}
	t.Logf("in %d rounds: %v", n, sum)
	lost := idle.have(idle.all) // they have come too late
	if lost.failed > 0 || len(idle.names) != 2*len(b) {
		t.Errorf("with a cookie by a secret that is gone: %v, want all to be told again: %v", lost, idle.names)
	}
}

// TestProxiesRotateOneAfterTheOther has two of them, as long as only one knows
// that the new secret signs.
func TestProxiesRotateOneAfterTheOther(t *testing.T) {
	b := backends(t, "a", "b", "c")
	site := func(first, second string) string {
		return "handle /first {\n" + policy(addrs(b...), "sticky", calm+"\nsecret "+first) +
			"\n}\n handle {\n" + policy(addrs(b...), "sticky", calm+"\nsecret "+second) + "\n}"
	}
	p := run(t, site(oldSecret, oldSecret))
	at := p.get("/")
	cookie := onlyCookie(t, at)
	oldNew, newOld := oldSecret+" "+newSecret, newSecret+" "+oldSecret
	for _, step := range [][2]string{
		{oldNew, oldSecret}, {oldNew, oldNew}, {newOld, oldNew}, {newOld, newOld}, {newSecret, newOld}, {newSecret, newSecret},
	} {
		p.reload(site(step[0], step[1]))
		for range 3 {
			for _, path := range []string{"/first", "/"} {
				a := p.get(path, "Cookie", cookie)
				if a.from() != at.from() {
					t.Fatalf("%q, %q: %s: was with %s, and then: %v", step[0], step[1], path, at.from(), a)
				}
				if len(a.header.Values("Set-Cookie")) > 0 {
					cookie = onlyCookie(t, a)
				}
			}
		}
	}
}

func TestSecretsComeFromWhereTheyAreKept(t *testing.T) {
	b := backends(t, "a", "b", "c")
	site := func(secret string) string { return policy(addrs(b...), "sticky", calm+"\nsecret "+secret) }
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(oldSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("EVENKEEL_TEST_SECRET", oldSecret)
	p := run(t, site(oldSecret))
	c := newAudience(t, p, byCookie)
	c.join(50)
	for name, secret := range map[string]string{
		"environment": "{env.EVENKEEL_TEST_SECRET}",
		"Caddyfile":   "{$EVENKEEL_TEST_SECRET}",
		"file":        "{file." + file + "}",
	} {
		p.reload(site(secret))
		c.visit(name, came{stayed: 50})
	}
	for name, secret := range map[string]string{
		"no such variable": "{env.EVENKEEL_TEST_NO_SECRET}",
		"no such file":     "{file." + file + ".none}",
	} {
		err := p.tryReload(site(secret))
		if err == nil || !strings.Contains(err.Error(), "secret: ") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	c.visit("after configs that were refused", came{stayed: 50})
	if strings.Contains(logs.tail(1000), oldSecret) {
		t.Error("the log has the secret")
	}
	if n := logs.count(noSecret); n != 0 {
		t.Error("there is a secret, and the log says there is none")
	}
}

func TestWithoutASecretSessionsLastAsLongAsTheProcess(t *testing.T) {
	b := backends(t, "a", "b", "c")
	site := policy(addrs(b...), "sticky", calm)
	p := run(t, site)
	if n := logs.count(noSecret, "level", "warn"); n != 1 {
		t.Errorf("warned %d times, want once", n)
	}
	c := newAudience(t, p, byCookie)
	c.join(50)
	p.reload(site)
	c.visit("after a reload", came{stayed: 50})
	here := c.all[0].token
	there := elsewhere(t, site, asked{Path: "/", Header: []string{"Cookie", here}})[0]
	if len(there.Cookies) != 1 || strings.HasPrefix(there.Cookies[0], here) {
		t.Errorf("another process knows %q: answered with %q", here, there.Cookies)
	}
}

func TestASecretHoldsInAnotherProcess(t *testing.T) {
	b := backends(t, "a", "b", "c", "d")
	site := sticky(b, calm)
	c := newAudience(t, run(t, site), byCookie)
	c.join(40)
	var asks []asked
	for _, v := range c.all {
		asks = append(asks, asked{Path: "/", Header: []string{"Cookie", v.token}})
	}
	// The order of the upstreams is nothing that tokens may depend on.
	b[0], b[3] = b[3], b[0]
	for i, there := range elsewhere(t, sticky(b, calm), asks...) {
		if v := c.all[i]; there.From != v.at || len(there.Cookies) > 0 {
			t.Fatalf("%+v for a session with %s", there, v.at)
		}
	}
}

func TestSessionsStayWhenUpstreamsComeAndGo(t *testing.T) {
	b := backends(t, "a", "b", "c", "d")
	p := run(t, sticky(b[:3], calm))
	c := newAudience(t, p, byCookie)
	c.join(200)
	p.reload(sticky([]*backend{b[3], b[2], b[1], b[0]}, calm))
	c.visit("one more, and another order", came{stayed: 200})
	there := with("b", c.all)
	p.reload(sticky([]*backend{b[3], b[2], b[0]}, calm))
	c.visit("without b", came{stayed: 200 - there, moved: there})

	members.set("sticky", b...)
	p.reload(dynamic("sticky", "shuffled sticky", calm+"\nsecret a-secret-of-some-length"))
	c.visit("from a dynamic source", came{stayed: 200})
	members.set("sticky", b[:2]...)
	there = with("a", c.all) + with("b", c.all)
	c.visit("which returns two of them", came{stayed: there, moved: 200 - there})
	if a := p.do(http.MethodPost, "/", "text", "Cookie", c.all[0].token); a.from() != c.all[0].at {
		t.Errorf("a POST of a session with %s: %v", c.all[0].at, a)
	}
}
