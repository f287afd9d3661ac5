package integration

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// series returns the plugin's series, by name and labels as Prometheus writes them, without
// the prefix that all of them have.
func series(t *testing.T) map[string]float64 {
	t.Helper()
	all := make(map[string]float64)
	for line := range strings.Lines(string(adminGet(t, "/metrics"))) {
		name, ours := strings.CutPrefix(strings.TrimSpace(line), "caddy_load_balancer_")
		if !ours {
			continue
		}
		at := strings.LastIndexByte(name, ' ')
		value, err := strconv.ParseFloat(name[at+1:], 64)
		if err != nil {
			t.Fatal(err)
		}
		all[name[:at]] = value
	}
	return all
}

// metric returns the value of a series; zero if there is none.
func metric(t *testing.T, name string) float64 {
	t.Helper()
	return series(t)[name]
}

// total returns the sum of all series that begin so, and have all the parts.
func total(t *testing.T, name string, parts ...string) (n float64) {
	t.Helper()
next:
	for s, value := range series(t) {
		if !strings.HasPrefix(s, name) {
			continue
		}
		for _, part := range parts {
			if !strings.Contains(s, part) {
				continue next
			}
		}
		n += value
	}
	return n
}

// A reload that fails changes nothing, wherever it fails: the configuration that runs is
// told, with what was counted before, and nothing of the one that failed.
func TestMetricsAfterAReloadThatFails(t *testing.T) {
	b := backends(t, "a", "b", "c")
	p := run(t, policy(addrs(b[:2]...), "smooth_weighted_round_robin", "name kept"))
	begun := func() float64 { return total(t, "attempts_begun_total{", `pool="kept"`) }
	for range 4 {
		p.get("/")
	}
	if n := begun(); n != 4 {
		t.Fatalf("%v attempts, want 4", n)
	}
	bad := policy(b[2].addr, "smooth_weighted_round_robin", "name failed") + "\nhandle /x {\n" +
		policy(b[2].addr, "smooth_weighted_round_robin", "weight 1 192.0.2.1:80") + "\n}"
	for what, load := range map[string]func() error{
		"after a pool":    func() error { return p.tryReload(bad) },
		"before any pool": func() error { return load([]byte(`{"admin":{"listen":"` + adminAddr + `"},"apps":{"none":{}}}`)) },
	} {
		err := load()
		if err == nil || !strings.Contains(err.Error(), "loading the config") {
			t.Fatalf("%s: got %v", what, err)
		}
		before := begun()
		p.get("/")
		if n := begun(); n != before+1 {
			t.Errorf("failed %s: %v attempts, want %v", what, n, before+1)
		}
		if n := total(t, "upstream_up{", `pool="kept"`); n != 2 {
			t.Errorf("failed %s: %v upstreams are up, want 2", what, n)
		}
		if n := total(t, "upstream_up{", b[2].addr); n != 0 {
			t.Errorf("failed %s: its upstream is told", what)
		}
	}
}

// A configuration without pools has no series, and one that has some again counts on.
func TestCountersOutliveReloads(t *testing.T) {
	b := backends(t, "a", "b")
	site := func(options string) string {
		return policy(addrs(b...), "smooth_weighted_round_robin", "name web\n"+options)
	}
	p := run(t, site(""))
	p.get("/")
	p.reload(site("retries 3"))
	p.get("/")
	if n := metric(t, `attempts_total{class="2xx",pool="web",upstream="`+b[0].addr+`"}`) +
		metric(t, `attempts_total{class="2xx",pool="web",upstream="`+b[1].addr+`"}`); n != 2 {
		t.Errorf("%v answers over a reload, want 2", n)
	}
	p.reload("respond ok")
	if all := series(t); len(all) > 0 {
		t.Errorf("%d series without a pool", len(all))
	}
	p.reload(site(""))
	if n := metric(t, `pool_attempts_total{pool="web"}`); n != 2 {
		t.Errorf("%v attempts after a while without the pool, want 2", n)
	}
}

// Checks are told by their results, and what they find by the upstream's state.
func TestMetricsOfChecks(t *testing.T) {
	b := backends(t, "a", "b")
	run(t, policy(addrs(b...), "least_request", "name web\nhealth_check http "+healthPath+" {\n name alive\n interval 50ms\n passes 1\n fails 1\n}"))
	probes := func(i int, result string) float64 {
		return metric(t, `check_probes_total{check="alive",pool="web",result="`+result+`",upstream="`+b[i].addr+`"}`)
	}
	eventually(t, 5*time.Second, "both have passed", func() bool { return probes(0, "passed") > 1 && probes(1, "passed") > 1 })
	if n := probes(0, "failed") + probes(1, "failed"); n != 0 {
		t.Errorf("%v probes have failed", n)
	}
	b[1].setHealth(status(http.StatusServiceUnavailable))
	eventually(t, 5*time.Second, "the second is down", func() bool {
		return metric(t, `upstream_state{pool="web",state="down",upstream="`+b[1].addr+`"}`) == 1
	})
	s := series(t)
	if s[`upstream_up{pool="web",upstream="`+b[1].addr+`"}`] != 0 || s[`upstream_up{pool="web",upstream="`+b[0].addr+`"}`] != 1 {
		t.Error("the wrong one is in service")
	}
	if _, stays := s[`upstream_state{pool="web",state="up",upstream="`+b[1].addr+`"}`]; stays {
		t.Error("it has two states")
	}
	if probes(1, "failed") < 1 || s[`check_duration_seconds_count{check="alive",pool="web",upstream="`+b[1].addr+`"}`] < 3 {
		t.Errorf("failed probes are not told: %v", s)
	}
}
