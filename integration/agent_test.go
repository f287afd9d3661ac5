package integration

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// agent is a helper beside a backend, which sends its line to all who connect.
type agent struct {
	line  atomic.Pointer[string]
	asked atomic.Int64
}

func (a *agent) say(line string) { a.line.Store(&line) }

// startAgents starts backends with agents beside them: each pair on a host of its
// own, the agents all on the same port.
func startAgents(t *testing.T, names ...string) (all []*backend, agents []*agent, port string) {
	t.Helper()
	port = "0"
	for n, name := range names {
		host := fmt.Sprint("127.0.0.", n+1)
		all = append(all, startOn(t, name, host, ""))
		l, err := net.Listen("tcp", net.JoinHostPort(host, port))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		_, port, _ = net.SplitHostPort(l.Addr().String())
		a := new(agent)
		a.say("up")
		agents = append(agents, a)
		go a.serve(l)
	}
	return all, agents, port
}

func (a *agent) serve(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		a.asked.Add(1)
		if line := *a.line.Load(); line != "" {
			io.WriteString(conn, line+"\n")
		}
		conn.Close()
	}
}

// heard waits until the agent's line has been taken in.
func (a *agent) heard(t *testing.T) {
	t.Helper()
	asked := a.asked.Load()
	eventually(t, 3*time.Second, "the agent is asked twice", func() bool { return a.asked.Load() >= asked+3 })
}

func TestAgentsDrainAndReweigh(t *testing.T) {
	if forked(t) {
		return
	}
	b, agents, port := startAgents(t, "a", "b", "c")
	p := run(t, policy(addrs(b...), "smooth_weighted_round_robin", "weight 2 "+addrs(b...)+"\n"+
		"health_check agent "+port+" {\n interval 50ms\n timeout 500ms\n}"))
	others := map[string]int{"b": 6, "c": 6}
	with := func(n int) map[string]int { return map[string]int{"a": n, "b": 6, "c": 6} }
	for _, step := range []struct {
		line   string
		want   map[string]int
		logged string // the new orders; empty if there are none
	}{
		{"drain", others, "drain"},
		{"50%", others, "drain, weight 50%"}, // weighed, but still drained
		{"ready", with(3), "weight 50%"},
		{"maint", others, "maint, weight 50%"},
		{"", others, ""}, // says nothing
		{"weight:1 ready", with(3), "weight 1"},
		{"200%", with(12), "weight 200%"},
		{"0%", others, "weight 0%"},
		{"100%", with(6), "none"},
		{"down#disk full", others, ""},
		{"drain up", others, "drain"},
		{"ready", with(6), "none"},
	} {
		logs.reset()
		agents[0].say(step.line)
		if step.logged != "" {
			logs.first(t, 3*time.Second, "upstream has changed its orders", "upstream", b[0].addr, "to", step.logged)
		}
		agents[0].heard(t)
		if got := p.shares(sum(step.want)); !maps.Equal(got, step.want) {
			t.Errorf("after %q: got %v, want %v", step.line, got, step.want)
		}
	}
}

func TestWhenAllAreDrainedTheAnswerIs503AtOnce(t *testing.T) {
	b, agents, port := startAgents(t, "a", "b")
	p := run(t, policy(addrs(b...), "weighted_random", "health_check agent "+port+" {\n interval 50ms\n timeout 500ms\n}"))
	for _, a := range agents {
		a.say("drain")
	}
	for _, b := range b {
		logs.first(t, 3*time.Second, "upstream has changed its orders", "upstream", b.addr, "to", "drain")
	}
	eventually(t, time.Second, "503", func() bool { return p.get("/").status == http.StatusServiceUnavailable })
	before := b[0].requests.Load() + b[1].requests.Load()
	l := p.load(200)
	l.last(500 * time.Millisecond)
	if counts := l.stop(); counts.failed["Service Unavailable"] != counts.total() || l.history.slowest()[0].took > time.Second {
		t.Errorf("all are drained: %v, %s", counts, l.history.times())
	}
	if n := b[0].requests.Load() + b[1].requests.Load() - before; n != 0 {
		t.Errorf("they got %d requests", n)
	}
	if lines := logs.find("no upstream left"); len(lines) == 0 || !strings.Contains(lines[0]["upstreams"], "drained by its agent") {
		t.Errorf("log has %v", lines)
	}
	if n := logs.count(panicLogged); n != 0 {
		t.Error("nobody is unhealthy, and it is logged so")
	}
	agents[1].say("ready")
	eventually(t, 3*time.Second, "b is back", func() bool { return p.get("/").from() == "b" })
}

func TestAnAgentLimitsRequestsAtOnce(t *testing.T) {
	b, agents, port := startAgents(t, "a", "b")
	release := make(chan struct{})
	setAll(b, held(release))
	p := run(t, policy(addrs(b...), "least_request", "health_check agent "+port+" {\n interval 50ms\n timeout 500ms\n}"))
	agents[0].say("maxconn:2")
	agents[1].say("maxconn:1")
	agents[0].heard(t)
	agents[1].heard(t)
	l := p.load(200)
	eventually(t, 5*time.Second, "more is refused", func() bool { return l.so().failures() > 10 })
	if got, want := requests(b...), "a: 2, b: 1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	close(release)
	l.stop()
}
