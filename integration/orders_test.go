package integration

import (
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

func TestOrdersWithoutAReload(t *testing.T) {
	if forked(t) {
		return
	}
	b := backends(t, "a", "b")
	p := run(t, policy(addrs(b...), "smooth_weighted_round_robin", "weight 0 "+b[1].addr))
	awaitShares := func(what string, n int, want map[string]int) {
		t.Helper()
		var got map[string]int
		if !await(3*time.Second, func() bool { got = p.shares(n); return fmt.Sprint(got) == fmt.Sprint(want) }) {
			t.Fatalf("%s: %v, want %v", what, got, want)
		}
	}
	awaitShares("as configured", 4, map[string]int{"a": 4})
	awaitState(t, b[1].addr, "draining", "weight is 0")
	ordered(t, b[1], `{"weight": 3}`)
	awaitShares("weight 3 instead of 0", 8, map[string]int{"a": 2, "b": 6})
	awaitState(t, b[1].addr, "up", "")
	ordered(t, b[0], `{"state": "drain", "reason": "disk", "ttl": "1h"}`)
	awaitShares("drained", 4, map[string]int{"b": 4})
	awaitState(t, b[0].addr, "draining", "disk")
	ready(t, b[0])
	ordered(t, b[1], `{"weight": 0}`)
	awaitShares("weight 0", 4, map[string]int{"a": 4})
	ordered(t, b[1], `{"weight": 1}`)
	awaitShares("weight 1", 4, map[string]int{"a": 2, "b": 2})
	ordered(t, b[1], `{"state": "maintenance", "ttl": "300ms"}`)
	awaitState(t, b[1].addr, "maintenance", "by an operator until")
	logs.first(t, 3*time.Second, "an order has ended", "upstream", b[1].addr)
	awaitState(t, b[1].addr, "draining", "weight is 0")
}

// A drain leaves an upstream its sessions; maintenance takes them away.
func TestOrdersAndSessions(t *testing.T) {
	if forked(t) {
		return
	}
	for _, strict := range []bool{false, true} {
		b := backends(t, "a", "b")
		options := []string{}
		if strict {
			options = append(options, "strict")
		}
		p := run(t, sticky(b, options...))
		c := newAudience(t, p, byCookie)
		c.join(100)
		there := with("a", c.all)
		ordered(t, b[0], `{"state": "drain"}`)
		eventually(t, 3*time.Second, "no new sessions", func() bool { return with("a", c.join(10)) == 0 })
		if got := c.have(c.all[:100]); got.stayed != 100 {
			t.Errorf("strict %v, drained: %v", strict, got)
		}
		ordered(t, b[0], `{"state": "maintenance"}`)
		awaitState(t, b[0].addr, "maintenance", "by an operator")
		p.get("/") // whose pick comes after the snapshot
		got := c.have(c.all[:100])
		if strict && got.failed != there || !strict && (got.failed != 0 || got.moved != there) {
			t.Errorf("strict %v, in maintenance: %v; %d were there", strict, got, there)
		}
		ready(t, b[0])
	}
}

// With a hash policy, an order moves only the keys of its upstream, and they come back.
func TestOrdersAndHashing(t *testing.T) {
	if forked(t) {
		return
	}
	for _, name := range []string{"maglev", "ring_hash", "rendezvous"} {
		t.Run(name, func(t *testing.T) {
			b := backends(t, "a", "b", "c")
			p := run(t, policy(addrs(b...), name+" {uri}", ""))
			keys := func() (got []string) {
				for i := range 60 {
					got = append(got, p.get(fmt.Sprint("/", i)).from())
				}
				return got
			}
			before := keys()
			ordered(t, b[0], `{"state": "drain"}`)
			eventually(t, 3*time.Second, "a is drained", func() bool { return !slices.Contains(keys(), "a") })
			for i, now := range keys() {
				if before[i] != "a" && now != before[i] {
					t.Errorf("key %d has moved from %s to %s", i, before[i], now)
				}
			}
			ready(t, b[0])
			eventually(t, 3*time.Second, "all keys are back", func() bool { return slices.Equal(keys(), before) })
		})
	}
}

// A pause under load: nothing reaches the backends, nothing fails, and what was held is
// let go without a stampede.
func TestPause(t *testing.T) {
	if forked(t) {
		return
	}
	b := backends(t, "a", "b")
	setAll(b, working)
	p := run(t, policy(addrs(b...), "least_request", "name site\nhold 10s"))
	l := p.load(100)
	l.awaitMore(t, 50)
	tellAdmin(t, http.MethodPatch, "/load_balancer/pools/site", `{"state": "paused", "reason": "db"}`, 200)
	eventually(t, 3*time.Second, "they wait", func() bool { return poolShown(t, "site").Held > 2 })
	if shown := poolShown(t, "site"); shown.State != "paused" || shown.Reason != "paused by an operator: db" {
		t.Errorf("%+v", shown)
	}
	got := requests(b...)
	holds(t, 700*time.Millisecond, "nothing reaches them", func() bool { return requests(b...) == got })
	p.reload(policy(addrs(b...), "least_request", "name site\nhold 10s") + "\n# again")
	holds(t, 300*time.Millisecond, "nothing reaches them after a reload", func() bool { return requests(b...) == got })
	var now atomic.Int64 // requests that the backends have
	answer := make(chan struct{})
	setAll(b, func(w http.ResponseWriter, r *http.Request) {
		now.Add(1)
		held(answer)(w, r)
	})
	tellAdmin(t, http.MethodDelete, "/load_balancer/pools/site", "", 204)
	// Each of two upstreams gets 16 before its first answer, from the configuration
	// before the reload and from that after it.
	eventually(t, 3*time.Second, "they go on", func() bool { return now.Load() >= 16 })
	holds(t, 200*time.Millisecond, "few go on at first", func() bool { return now.Load() <= 64 })
	close(answer)
	l.awaitMore(t, 150)
	counts := l.stop()
	if sum(counts.failed) > 0 {
		t.Error(counts)
	}
	if n := poolShown(t, "site").Held; n > 0 {
		t.Errorf("%d still wait", n)
	}
}

func TestPauseLongerThanHold(t *testing.T) {
	if forked(t) {
		return
	}
	b := start(t, "a")
	p := run(t, policy(b.addr, "least_request", "name site\nhold 300ms")+"\n"+`handle_errors {
		respond "{http.load_balancer.reason}" {err.status_code}
	}`)
	p.sequence(1)
	tellAdmin(t, http.MethodPatch, "/load_balancer/pools/site", `{"state": "paused"}`, 200)
	eventually(t, 3*time.Second, "503", func() bool { return p.get("/").status == 503 })
	for range 3 {
		if a := p.get("/"); a.status != 503 || a.body != "paused" && a.body != "hold_timeout" {
			t.Errorf("%v", a)
		}
	}
	tellAdmin(t, http.MethodPatch, "/load_balancer/pools/site", `{"state": "open"}`, 204)
	eventually(t, 3*time.Second, "it is open", func() bool { return p.get("/").status == 200 })
}

// Orders outlive reloads, reloads that fail, and a restart. Each says so in the log.
func TestOrdersLast(t *testing.T) {
	if forked(t) {
		return
	}
	b := backends(t, "a", "b")
	site := policy(addrs(b...), "weighted_random", "name site")
	p := run(t, site)
	ordered(t, b[0], `{"state": "drain", "reason": "disk"}`)
	eventually(t, 3*time.Second, "a is drained", func() bool { return p.shares(10)["b"] == 10 })
	const overrides = "an order overrides the configuration"
	for n := range 2 {
		p.reload(site + fmt.Sprint("\n# ", n))
		if got := p.shares(10); got["b"] != 10 {
			t.Errorf("after a reload: %v", got)
		}
		if got := logs.count(overrides, "pool", "site", "upstream", b[0].addr, "order", "drain", "reason", "disk"); got != n+1 {
			t.Errorf("logged %d times after %d reloads", got, n+1)
		}
	}

	// A configuration whose start fails: its site listens where another does.
	config, err := adapt("", b[1].addr, site)
	if err != nil {
		t.Fatal(err)
	}
	if err := load(config); err == nil {
		t.Fatal("the configuration has started")
	}
	awaitState(t, b[0].addr, "draining", "disk")
	awaitState(t, b[1].addr, "up", "")
	ordered(t, b[1], `{"state": "drain", "reason": "fan"}`)
	awaitState(t, b[1].addr, "draining", "fan")
	ready(t, b[0])
	eventually(t, 3*time.Second, "the order is obeyed", func() bool { return p.shares(10)["a"] == 10 })

	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	p.loadAnew(site)
	if got := p.shares(10); got["a"] != 10 {
		t.Errorf("after a restart: %v", got)
	}
	ready(t, b[1])
}

// loadAnew loads a configuration where none runs.
func (p *proxy) loadAnew(site string) {
	p.t.Helper()
	config, err := adapt(p.globals, p.addr, site)
	if err == nil {
		err = caddy.Load(config, true)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

func TestOrdersOfDynamicUpstreams(t *testing.T) {
	if forked(t) {
		return
	}
	b := backends(t, "a", "b")
	members.set("orders", b...)
	p := run(t, dynamic("weighted_random", "shuffled orders", ""))
	p.sequence(2)
	ordered(t, b[0], `{"state": "drain"}`)
	eventually(t, 3*time.Second, "a is drained", func() bool { return p.shares(10)["b"] == 10 })
	members.set("orders", b[0])
	eventually(t, 3*time.Second, "nobody is left", func() bool { return p.get("/").status == 503 })
	members.set("orders", b...)
	p.reload(dynamic("weighted_random", "shuffled orders", "") + "\n# again")
	eventually(t, 3*time.Second, "after a reload", func() bool { return p.shares(10)["b"] == 10 })
	ready(t, b[0])
	eventually(t, 3*time.Second, "a is back", func() bool { return p.shares(10)["a"] > 0 })
}
