package integration

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// forAnHour are ejections that do not end by themselves, after two failures.
const forAnHour = "outlier_detection {\n consecutive_local_origin_failures 2\n base_ejection_time 1h\n max_ejection_time 1h\n}\n"

// impatient is a transport that waits for no answer for long. The plugin cannot tell by
// a connection whether an upstream that is ejected for that is back.
const impatient = "transport http {\n response_header_timeout 100ms\n}"

// ejectLast has the last of the backends hang until it is ejected; its checks pass.
func ejectLast(t *testing.T, p *proxy, b []*backend) {
	t.Helper()
	last := b[len(b)-1]
	last.setHealth(ok)
	last.set(hang)
	eventually(t, 5*time.Second, last.name+" is ejected", func() bool {
		if a := p.get("/"); a.status != http.StatusOK {
			t.Fatalf("while %s hangs: %v", last.name, a)
		}
		return logs.count("upstream is ejected", "upstream", last.addr, "rule", "consecutive_local_origin_failures") > 0
	})
	eventually(t, time.Second, "picks know", func() bool { return !strings.Contains(p.sequence(2*len(b)), last.name) })
	last.set(ok)
}

func TestOnlyACheckThatHasFailedAndPassedEndsAnEjection(t *testing.T) {
	if forked(t) {
		return
	}
	b := backends(t, "a", "b", "c")
	p := run(t, policy(addrs(b...), "smooth_weighted_round_robin", forAnHour+quick, impatient), recordAll)
	c := b[2]
	failAndPass := func(meanwhile func()) {
		c.setHealth(status(http.StatusServiceUnavailable))
		awaitDown(t, c)
		meanwhile()
		c.setHealth(ok)
		logs.first(t, 5*time.Second, "upstream is healthy", "upstream", c.addr)
	}
	failAndPass(func() {}) // before its ejection, which does not count
	ejectLast(t, p, b)
	logs.reset()
	probes := c.probes.Load()
	eventually(t, 5*time.Second, "probes go on", func() bool { return c.probes.Load() > probes+5 })
	if got := p.sequence(12); strings.Contains(got, "c") {
		t.Errorf("its check has passed all along, so it tells nothing new: %s", got)
	}
	failAndPass(func() {
		if got := p.sequence(12); strings.Contains(got, "c") {
			t.Errorf("now its check fails as well: %s", got)
		}
	})
	eventually(t, time.Second, "traffic again", func() bool { return strings.Contains(p.sequence(6), "c") })
	eventually(t, time.Second, "told", func() bool { return events.count("unejected", "upstream", c.addr) == 1 })
	if told := events.count("ejected", "upstream", c.addr); told != 1 {
		t.Errorf("%d events of its ejection, want one", told)
	}
}

func TestAnEjectionSurvivesAReload(t *testing.T) {
	for name, after := range map[string]struct{ policy, options string }{
		"nothing changed": {"smooth_weighted_round_robin", ""},
		"other policy":    {"least_request", ""},
		"a check":         {"smooth_weighted_round_robin", quick},
	} {
		t.Run(name, func(t *testing.T) {
			b := backends(t, "a", "b", "c")
			p := run(t, policy(addrs(b...), "smooth_weighted_round_robin", forAnHour, impatient))
			ejectLast(t, p, b)
			for range 3 {
				p.reload(policy(addrs(b...), after.policy, forAnHour+after.options))
				if got := p.sequence(9); strings.Contains(got, "c") {
					t.Errorf("ejected before the reload: %s", got)
				}
			}
		})
	}
}

func TestTheLastUpstreamIsNeverEjected(t *testing.T) {
	for name, how := range map[string]http.HandlerFunc{"drops": drop, "errs": status(http.StatusInternalServerError)} {
		t.Run(name, func(t *testing.T) {
			b := backends(t, "a", "b", "c")
			setAll(b, how)
			p := run(t, policy(addrs(b...), "smooth_weighted_round_robin",
				"retries 0\n outlier_detection {\n max_ejection_percent 100\n base_ejection_time 1h\n max_ejection_time 1h\n}"))
			ejected := func() (n int) { // one that drops requests is tried again after each connection, and ejected again
				for _, backend := range b {
					if logs.count("upstream is ejected", "upstream", backend.addr) > 0 {
						n++
					}
				}
				return n
			}
			eventually(t, 5*time.Second, "two are ejected", func() bool {
				p.get("/")
				return ejected() == 2
			})
			for range 30 {
				if a := p.get("/"); a.status != http.StatusBadGateway && a.status != http.StatusInternalServerError {
					t.Fatalf("one is left, and fails all requests: %v", a)
				}
			}
			if n := ejected(); n != 2 {
				t.Errorf("%d are ejected, want two of three", n)
			}
		})
	}
}

func TestOutlierDetectionOffEjectsNobody(t *testing.T) {
	b := backends(t, "a", "b", "c")
	b[2].set(drop)
	p := run(t, policy(addrs(b...), "smooth_weighted_round_robin", "outlier_detection off"))
	for range 60 {
		if a := p.get("/"); a.status != http.StatusOK {
			t.Fatal(a)
		}
	}
	if n := b[2].requests.Load(); n < 20 {
		t.Errorf("c got %d of 60 requests, want each third", n)
	}
	if n := logs.count("upstream is ejected"); n != 0 {
		t.Errorf("%d ejections", n)
	}
}

func TestAClientThatGivesUpIsNobodysFailure(t *testing.T) {
	b := backends(t, "a", "b")
	setAll(b, hang)
	site := func(directives ...string) string {
		return policy(addrs(b...), "smooth_weighted_round_robin", "retries 0\n"+forAnHour, directives...)
	}
	p := run(t, site())
	p.client.Timeout = 50 * time.Millisecond
	for range 10 {
		if a := p.do(http.MethodGet, "/", ""); a.err == nil {
			t.Fatal(a)
		}
	}
	if n := logs.count("upstream is ejected"); n != 0 {
		t.Errorf("clients gave up, and %d upstreams are ejected", n)
	}
	// The same, but that it is the transport that gives up.
	p.client.Timeout = 5 * time.Second
	p.reload(site("transport http {\n response_header_timeout 50ms\n}"))
	eventually(t, 5*time.Second, "one is ejected", func() bool {
		p.get("/")
		return logs.count("upstream is ejected") == 1
	})
}
