package integration

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

var bySID = manner{"Set-Cookie", "Cookie", "SID="}

// app is an application that keeps sessions in memory, each process its own.
type app struct {
	suffix string // of its cookies

	mu       sync.Mutex
	sessions map[string]bool
}

// apps has the backends keep sessions by a cookie of the name.
func apps(all []*backend, name string, suffix func(*backend) string) {
	for _, b := range all {
		a := &app{suffix: suffix(b), sessions: make(map[string]bool)}
		b.set(func(w http.ResponseWriter, r *http.Request) { a.serve(w, r, name, b.name) })
		b.setHealth(ok)
	}
}

func (a *app) serve(w http.ResponseWriter, r *http.Request, name, from string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	id := ""
	if cookie, err := r.Cookie(name); err == nil {
		id = cookie.Value
	}
	if _, rest, ok := strings.Cut(r.URL.Path, ";"); ok {
		_, id, _ = strings.Cut(rest, "=")
	}
	switch {
	case r.URL.Path == "/logout":
		delete(a.sessions, id)
		http.SetCookie(w, &http.Cookie{Name: name, MaxAge: -1})
	case !a.sessions[id]:
		id = fmt.Sprintf("%s-%d%s", from, len(a.sessions), a.suffix)
		a.sessions[id] = true
		http.SetCookie(w, &http.Cookie{Name: name, Value: id, Path: "/"})
	}
	ok(w, r)
}

func none(*backend) string { return "" }

func TestSessionsOfTheApplicationAreLearned(t *testing.T) {
	b := backends(t, "a", "b", "c", "d")
	apps(b, "SID", none)
	site := func(options string) string {
		return policy(addrs(b...), "sticky", "learn SID\n"+options+"\n"+patient())
	}
	p := run(t, site(""))
	c := newAudience(t, p, bySID)
	n := atLength(300, numSessions)
	c.join(n)
	c.visit("learned", came{stayed: n})
	p.reload(site("fallback least_request"))
	c.visit("after a reload", came{stayed: n})
	p.reload(site("weight 0 " + b[3].addr))
	c.visit("d is drained", came{stayed: n})
	if got := with("d", c.join(100)); got != 0 {
		t.Errorf("d is drained and got %d new sessions", got)
	}
	total := n + 100
	there := with("d", c.all)
	b[3].stop()
	c.visit("d is dead", came{stayed: total - there, moved: there})
	c.visit("and once more", came{stayed: total})
	logs.first(t, 5*time.Second, "upstream is unhealthy", "upstream", b[3].addr)
	b[3].start(t)
	logs.first(t, 5*time.Second, "upstream is healthy", "upstream", b[3].addr)
	p.reload(site(""))
	c.visit("d is back", came{stayed: total})
	if logs.count(noSecret) > 0 {
		t.Error("nothing is signed, and the log says there is no secret")
	}
}

// TestWhoAcceptsALearnedSessionKeepsIt has an application whose processes know
// each other's sessions, and set nothing when one comes from elsewhere.
func TestWhoAcceptsALearnedSessionKeepsIt(t *testing.T) {
	b := backends(t, "a", "b", "c")
	apps(b[:1], "SID", none)
	site := policy(addrs(b...), "sticky", "learn SID\nfallback smooth_weighted_round_robin\n"+patient())
	p := run(t, site)
	cookie := onlyCookie(t, p.get("/"))
	if a := p.get("/", "Cookie", cookie); a.from() != "a" {
		t.Fatalf("%s was set by a: %v", cookie, a)
	}
	b[0].stop()
	home := p.get("/", "Cookie", cookie)
	if home.from() == "a" || home.status != http.StatusOK {
		t.Fatalf("a is dead: %v", home)
	}
	stays := func(when string) {
		t.Helper()
		for range 6 {
			if a := p.get("/", "Cookie", cookie); a.from() != home.from() {
				t.Errorf("%s: %s has accepted %s: %v", when, home.from(), cookie, a)
			}
		}
	}
	stays("a is dead")
	logs.first(t, 5*time.Second, "upstream is unhealthy", "upstream", b[0].addr)
	b[0].start(t)
	logs.first(t, 5*time.Second, "upstream is healthy", "upstream", b[0].addr)
	stays("a is back")
	p.reload(site)
	stays("after a reload")
}

func TestALearnedSessionEndsWhenItsCookieIsDeleted(t *testing.T) {
	b := backends(t, "a", "b")
	apps(b, "SID", none)
	p := run(t, policy(addrs(b...), "sticky", calm+"\nlearn OTHER\nlearn SID\nfallback smooth_weighted_round_robin"))
	cookie := onlyCookie(t, p.get("/"))
	if a := p.get("/logout", "Cookie", cookie); a.from() != "a" {
		t.Fatalf("%s was set by a: %v", cookie, a)
	}
	if got := p.get("/", "Cookie", cookie).from(); got != "b" {
		t.Errorf("with the cookie of a session that has ended: %s, want the next in turn", got)
	}
}

func TestSessionsByRoute(t *testing.T) {
	for name, c := range map[string]struct{ policy, learn, cookie string }{
		"Tomcat's":     {"sticky", "", "JSESSIONID"},
		"as named":     {"sticky BALANCEID", "", "BALANCEID"},
		"of a learned": {"sticky", "learn SID", "SID"},
	} {
		t.Run(name, func(t *testing.T) {
			b := backends(t, "a", "b", "c")
			apps(b, c.cookie, func(b *backend) string { return ".jvm-" + b.name })
			options := []string{patient(), c.learn}
			for _, b := range b {
				options = append(options, "route jvm-"+b.name+" "+b.addr)
			}
			site := policy(addrs(b...), c.policy, strings.Join(options, "\n"))
			p := run(t, site)
			all := newAudience(t, p, manner{"Set-Cookie", "Cookie", c.cookie + "="})
			all.join(100)
			all.visit("by route", came{stayed: 100})
			p.reload(policy(addrs(b...), c.policy, strings.Join(append(options, "weight 0 "+b[2].addr), "\n")))
			all.visit("c is drained", came{stayed: 100})
			there := with("c", all.all)
			b[2].stop()
			all.visit("c is dead", came{stayed: 100 - there, moved: there})
			all.visit("and once more", came{stayed: 100})
		})
	}
}

func TestSessionsByRouteInThePath(t *testing.T) {
	b := backends(t, "a", "b", "c")
	apps(b, "JSESSIONID", func(b *backend) string { return ".jvm-" + b.name })
	p := run(t, policy(addrs(b...), "sticky", fmt.Sprintf("route jvm-a %s\nroute jvm-b %s\nroute jvm-c %s", b[0].addr, b[1].addr, b[2].addr)))
	for range 10 {
		first := p.get("/")
		_, id, _ := strings.Cut(onlyCookie(t, first), "=")
		for _, path := range []string{"/shop;jsessionid=" + id, "/;x=1;JSESSIONID=" + id + "/next?y=2"} {
			if a := p.get(path); a.from() != first.from() {
				t.Errorf("%s: %v", path, a)
			}
		}
	}
	b[0].stop()
	for range 5 {
		if a := p.get("/shop;jsessionid=1.jvm-a"); a.status != http.StatusOK || a.from() == "a" {
			t.Fatalf("a is dead: %v", a)
		}
	}
}
