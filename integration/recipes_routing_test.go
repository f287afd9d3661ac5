package integration

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func recipeMaintenance(t *testing.T, r recipe) {
	b, agents, port := startAgents(t, "a", "b")
	replaced := append(addresses("app1:8080 app2:8080", b...), "agent 9000", "agent "+port)
	p := run(t, r.site(t, 0, replaced...))
	expect := func(when, page string) {
		t.Helper()
		a := p.get("/")
		if a.status < http.StatusBadGateway || !strings.HasPrefix(a.body, page) || a.header.Get("Retry-After") == "" {
			t.Errorf("%s: %v, %v; want %q", when, a, a.header, page)
		}
	}
	const planned, outage = "We are working on it.", "Something broke."
	p.sequence(2)
	say := func(line, from, to string) {
		t.Helper()
		for _, a := range agents {
			a.say(line)
		}
		for _, upstream := range b {
			logs.first(t, 5*time.Second, "upstream has changed its orders", "upstream", upstream.addr, "from", from, "to", to)
		}
	}
	say("maint", "none", "maint")
	expect("in maintenance", planned)
	say("ready", "maint", "none")
	p.sequence(2)
	b[0].stop()
	b[1].stop()
	expect("all are down, and it has waited", outage)
	eventually(t, 5*time.Second, "enough requests could not connect", func() bool {
		a := p.get("/")
		if !strings.HasPrefix(a.body, outage) {
			t.Errorf("all are down for longer: %v, want %q", a, outage)
		}
		return a.status == http.StatusServiceUnavailable
	})
	expect("all are down for longer", outage)

	r.expectSays(t, "weight 0 app1:8080 app2:8080")
	p.reload(r.site(t, 0, append(replaced, "lb_policy least_request {", "lb_policy least_request {\nweight 0 "+addrs(b...))...))
	expect("with weight 0", planned)
}

func recipeCanary(t *testing.T, r recipe) {
	b := backends(t, "canary", "a", "b")
	canary := b[0]
	with := func(replaced ...string) string {
		return r.site(t, 0, append(addresses("canary:8080 app1:8080 app2:8080", b...), replaced...)...)
	}
	p := run(t, with())
	listed := [][]string{{"Cookie", "uid=alice"}, {"Cookie", "uid=bob"}, {"X-Canary", "yes"}}
	for _, header := range listed {
		p.expectFrom(canary, 10, "listed", header...)
	}
	const users = 300
	answers := func() (all []string) {
		for n := range users {
			a := p.get("/", "Cookie", fmt.Sprint("uid=user-", n))
			if a.status != http.StatusOK {
				t.Fatalf("user %d: %v", n, a)
			}
			all = append(all, a.from())
		}
		return all
	}
	count := func(all []string) (n int) {
		for _, name := range all {
			if name == canary.name {
				n++
			}
		}
		return n
	}
	first := answers()
	if n := count(first); n < users/30 || n > users/5 {
		t.Errorf("the canary has %d of %d users, want about a tenth", n, users)
	}
	p.reload(with())
	if again := answers(); !slices.Equal(first, again) {
		t.Error("some users have another upstream than before the reload")
	}
	p.reload(with("weight 10 ", "weight 30 "))
	more := answers()
	for n := range users {
		if first[n] == canary.name && more[n] != canary.name {
			t.Errorf("user %d has left the canary, whose weight is higher now", n)
		}
	}
	if count(more) <= count(first) {
		t.Errorf("with a higher weight, the canary has %d users of %d", count(more), users)
	}
	p.reload(with("weight 10 ", "weight 0 "))
	if n := count(answers()); n > 0 {
		t.Errorf("with weight 0, the canary has %d users", n)
	}
	p.reload(with())
	canary.stop()
	if n := count(answers()); n > 0 {
		t.Errorf("the canary is dead and has %d users", n)
	}
	for _, header := range listed {
		if a := p.get("/", header...); a.status != http.StatusOK {
			t.Errorf("listed, and the canary is dead: %v", a)
		}
	}
	p.sequence(10) // without the cookie
}

func recipeLocalFirst(t *testing.T, r recipe) {
	b := []*backend{
		startOn(t, "near 1", "127.1.0.1", ""), startOn(t, "near 2", "127.1.0.2", ""),
		startOn(t, "far 1", "127.2.0.1", ""), startOn(t, "far 2", "127.2.0.2", ""),
	}
	p := run(t, r.site(t, 0, append(addresses("10.1.0.1:8080 10.1.0.2:8080 10.2.0.1:8080 10.2.0.2:8080", b...),
		"10.1.0.0/16", "127.1.0.0/16", "10.2.0.0/16", "127.2.0.0/16")...))
	near := func(n int) (count int) {
		for name, c := range p.shares(n) {
			if strings.HasPrefix(name, "near") {
				count += c
			}
		}
		return count
	}
	if n := near(50); n != 50 {
		t.Errorf("all are up: %d of 50 requests stayed near", n)
	}
	b[0].stop()
	awaitDown(t, b[0])
	if n := near(400); n < 220 || n > 340 { // 280 ± 6.5 σ
		t.Errorf("one of two near ones is down: %d of 400 requests stayed near, want about 280", n)
	}
	b[1].stop()
	if n := near(50); n != 0 {
		t.Errorf("both near ones are down: %d requests stayed near", n)
	}
}

func recipeLabels(t *testing.T, r recipe) {
	labels := make(map[string]string)
	for line := range strings.Lines(fenced(r.text, "yaml")[0]) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		labels[key] = strings.Trim(value, `"`)
	}
	upstreams := "172.18.0.2:8080 172.18.0.3:8080"
	labels["caddy.reverse_proxy"] = strings.ReplaceAll(labels["caddy.reverse_proxy"], "{{upstreams 8080}}", upstreams)
	if got := fromLabels(labels, "caddy", 0); got != r.caddyfiles[0] {
		t.Errorf("the labels give\n%s", got)
	}
	b := backends(t, "a", "b")
	p := run(t, r.site(t, 0, addresses(upstreams, b...)...))
	if got := p.shares(50); got["a"] == 0 || got["b"] == 0 {
		t.Errorf("got %v", got)
	}
}

// fromLabels returns the Caddyfile's part for the label and those below it, as
// caddy-docker-proxy makes it of labels without numbers: a label's last word is a
// directive, its value the arguments, and what is below it is in the block, sorted. The
// word of the first label is not there.
func fromLabels(labels map[string]string, label string, depth int) string {
	var block strings.Builder
	for _, below := range slices.Sorted(maps.Keys(labels)) {
		if rest, ok := strings.CutPrefix(below, label+"."); ok && !strings.Contains(rest, ".") {
			block.WriteString(fromLabels(labels, below, depth+1))
		}
	}
	indent := strings.Repeat("\t", depth)
	line := strings.TrimPrefix(label[strings.LastIndex(label, ".")+1:]+" "+labels[label], "caddy ")
	if block.Len() == 0 {
		return indent + line + "\n"
	}
	return indent + line + " {\n" + block.String() + indent + "}\n"
}
