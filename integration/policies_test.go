package integration

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// policy is a handler over the backends with one of our policies.
func policy(upstreams, name, options string, directives ...string) string {
	return fmt.Sprintf("reverse_proxy %s {\n lb_policy %s {\n %s\n }\n %s\n}",
		upstreams, name, options, strings.Join(directives, "\n"))
}

func TestWeightsAreServedInTurnNeverBunched(t *testing.T) {
	b := backends(t, "a", "b", "c")
	p := run(t, policy(addrs(b...), "smooth_weighted_round_robin", "weight 5 "+b[0].addr))
	if got, want := p.sequence(14), "a a b a c a a a a b a c a a"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestWithoutWeightsUpstreamsTakeTurns(t *testing.T) {
	b := backends(t, "a", "b", "c")
	p := run(t, policy(addrs(b...), "smooth_weighted_round_robin", ""))
	if got, want := p.sequence(6), "a b c a b c"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestWeightZeroGetsNothing(t *testing.T) {
	for _, name := range []string{
		"smooth_weighted_round_robin", "weighted_random", "least_request", "peak_ewma",
		"managed round_robin", "managed random", "managed first",
	} {
		t.Run(name, func(t *testing.T) {
			b := backends(t, "a", "b", "c")
			p := run(t, policy(addrs(b...), name, "weight 0 "+b[0].addr))
			p.sequence(30)
			if n := b[0].requests.Load(); n != 0 {
				t.Errorf("a has weight 0 and got %d requests", n)
			}
			if b[1].requests.Load() == 0 && b[2].requests.Load() == 0 {
				t.Errorf("nobody got anything")
			}
		})
	}
}

func TestManagedCookieSticksAndOnFailoverNamesWhoAnswered(t *testing.T) {
	b := backends(t, "a", "b", "c")
	p := run(t, policy(addrs(b...), "managed cookie lb secret", ""))
	first := p.get("/")
	cookie := onlyCookie(t, first)
	for range 10 {
		a := p.get("/", "Cookie", cookie)
		if a.from() != first.from() {
			t.Fatalf("cookie of %s led to: %v", first.from(), a)
		}
		if set := a.header.Values("Set-Cookie"); len(set) != 0 {
			t.Fatalf("cookie set again: %v", set)
		}
	}
	stuck := b[strings.Index("abc", first.from())]
	stuck.stop()
	failover := p.get("/", "Cookie", cookie)
	if failover.status != http.StatusOK || failover.from() == stuck.name {
		t.Fatalf("with %s dead: %v", stuck.name, failover)
	}
	cookie = onlyCookie(t, failover)
	stuck.start(t)
	for range 10 {
		if a := p.get("/", "Cookie", cookie); a.from() != failover.from() {
			t.Fatalf("after failover to %s, its cookie led to: %v", failover.from(), a)
		}
	}
}

func TestManagedCookieIsOneWhereTheFirstPickIsDead(t *testing.T) {
	b := backends(t, "a", "b", "c")
	b[0].stop()
	b[1].stop()
	p := run(t, policy(addrs(b...), "managed cookie lb secret", ""))
	for range 20 {
		a := p.get("/")
		if a.status != http.StatusOK {
			t.Fatal(a)
		}
		cookie := onlyCookie(t, a)
		if a := p.get("/", "Cookie", cookie); len(a.header.Values("Set-Cookie")) != 0 {
			t.Fatalf("the cookie does not name who answered: %v, %v", a, a.header)
		}
	}
}

// onlyCookie returns the answer's cookie, which must be one.
func onlyCookie(t *testing.T, a answer) string {
	t.Helper()
	set := a.header.Values("Set-Cookie")
	if a.err != nil || len(set) != 1 {
		t.Fatalf("%v with Set-Cookie %q, want one", a, set)
	}
	cookie, _, _ := strings.Cut(set[0], ";")
	return cookie
}

func TestLeastRequestPrefersTheIdle(t *testing.T) {
	for _, name := range []string{"least_request all", "least_request"} {
		t.Run(name, func(t *testing.T) {
			b := backends(t, "a", "b")
			release := make(chan struct{})
			b[0].set(held(release))
			p := run(t, policy(addrs(b...), name, ""))
			isHeld := func() bool { return b[0].requests.Load() > 0 }
			answers := make(chan answer, 100)
			for made := 0; !isHeld(); made++ { // one after the other, until a has one
				go func() { answers <- p.get("/") }()
				eventually(t, 5*time.Second, "b answers, or a holds it", func() bool { return len(answers) > made || isHeld() })
			}
			if got := strings.Join(slices.Compact(strings.Fields(p.sequence(30))), " "); got != "b" {
				t.Errorf("a is busy and b idle, but the answers are from %s", got)
			}
			close(release)
			eventually(t, 5*time.Second, "a's answer", func() bool {
				select {
				case a := <-answers:
					return a.from() == "a"
				default:
					return false
				}
			})
		})
	}
}

func TestPeakEWMAAvoidsTheSlow(t *testing.T) {
	if forked(t) {
		return
	}
	b := backends(t, "a", "b", "c")
	b[0].set(after(200 * time.Millisecond))
	p := run(t, policy(addrs(b...), "peak_ewma", ""))
	l := p.load(100)
	eventually(t, 10*time.Second, "200 requests", func() bool { return l.answers("b")+l.answers("c") >= 200 })
	counts := l.stop()
	if counts.failures() > 0 || counts.ok["a"] > counts.total()/10 {
		t.Errorf("a takes 200ms, b and c none: %v", counts)
	}
}
