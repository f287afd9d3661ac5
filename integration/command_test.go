package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/caddy-evenkeel/evenkeel/pool"
)

// commandEnv makes the process of this test the command caddy, with its arguments.
const commandEnv = "EVENKEEL_TEST_COMMAND"

// command is caddy load-balancer in a process of its own.
type command struct {
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
	ended          chan struct{}
	code           int // once it has ended
}

// begin begins the command with the arguments.
func begin(t *testing.T, args ...string) *command {
	t.Helper()
	c := &command{cmd: exec.Command(os.Args[0], append([]string{"load-balancer"}, args...)...), ended: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), commandEnv+"=1", "CADDY_ADMIN="+adminAddr)
	c.cmd.Stdout, c.cmd.Stderr = &c.stdout, &c.stderr
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.ended)
		if err := c.cmd.Wait(); err != nil {
			c.code = -1
			if exit, ok := errors.AsType[*exec.ExitError](err); ok {
				c.code = exit.ExitCode()
			}
		}
	}()
	t.Cleanup(func() {
		c.cmd.Process.Kill()
		<-c.ended
	})
	return c
}

// expect waits until the command has ended, and returns what it has said. It must have
// ended with the code.
func (c *command) expect(t *testing.T, code int) string {
	t.Helper()
	select {
	case <-c.ended:
	case <-time.After(time.Minute):
		t.Fatalf("%v does not end", c.cmd.Args[1:])
	}
	if c.code != code {
		t.Fatalf("%v exits with %d, want %d: %s%s", c.cmd.Args[1:], c.code, code, &c.stdout, &c.stderr)
	}
	return c.stdout.String() + c.stderr.String()
}

// lb runs the command, which must do what it is to.
func lb(t *testing.T, args ...string) string {
	t.Helper()
	return begin(t, args...).expect(t, 0)
}

// viewOf returns the upstream as the admin API shows it in its only pool.
func viewOf(t *testing.T, b *backend) pool.UpstreamView {
	t.Helper()
	var all []pool.UpstreamView
	text := adminGet(t, "/load_balancer/upstreams/"+url.PathEscape(b.addr))
	if err := json.Unmarshal(text, &all); err != nil || len(all) != 1 {
		t.Fatalf("%v: %s", err, text)
	}
	return all[0]
}

// asynchronously makes a GET, and returns where its answer comes.
func (p *proxy) asynchronously() <-chan answer {
	answers := make(chan answer, 1)
	go func() { answers <- p.do(http.MethodGet, "/", "") }()
	return answers
}

func TestCommandExitCodes(t *testing.T) {
	if forked(t) {
		return
	}
	b := backends(t, "a")
	run(t, policy(addrs(b...), "managed random", "name web"))
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"", 0, "pool web: managed, open"},
		{"--pool web --address " + adminAddr, 0, b[0].addr},
		{"drain", 2, "0 arguments"},
		{"drain --nope", 2, "unknown flag: --nope"},
		{"drain " + b[0].addr + " --ttl never", 2, "ttl: 'never'"},
		{"weight " + b[0].addr + " 3", 2, "knows no weights"},
		{"drain 192.0.2.1:80", 3, "no pool has the upstream '192.0.2.1:80'"},
		{"maintenance " + b[0].addr + " --pool nope", 3, "pool: 'nope' has no upstream"},
		{"check 192.0.2.1:80", 3, "no pool has the upstream"},
		{"pause nope", 3, "there is no pool 'nope'"},
		{"--pool nope", 3, "there is no pool 'nope'"},
		{"check " + b[0].addr, 4, "no health check"},
		{"--address " + freeAddr(), 5, "no answer from Caddy"},
		{"drain " + b[0].addr + " --wait --address " + freeAddr(), 5, "no answer from Caddy"},
	} {
		if got := begin(t, strings.Fields(c.args)...).expect(t, c.code); !strings.Contains(got, c.says) {
			t.Errorf("%s says %s, want %s", c.args, got, c.says)
		}
	}
}

// A wait lasts as long as a request, over reloads too.
func TestDrainWaitsForRequests(t *testing.T) {
	if forked(t) {
		return
	}
	b := backends(t, "a", "b")
	site := policy(addrs(b...), "smooth_weighted_round_robin", "name web")
	p := run(t, site)
	p.sequence(2)
	let := make(chan struct{})
	b[0].set(held(let))
	first, second := p.asynchronously(), p.asynchronously()
	eventually(t, 5*time.Second, "one is in flight", func() bool { return b[0].requests.Load() == 2 && viewOf(t, b[0]).InFlight == 1 })

	if says := begin(t, "drain", b[0].addr, "--wait", "--timeout", "300ms").expect(t, 6); !strings.Contains(says, ": 1; the order stays") {
		t.Errorf("it says %s", says)
	}
	waiting := begin(t, "drain", b[0].addr, "--wait", "--reason", "kernel update")
	eventually(t, 10*time.Second, "the order is there", func() bool { return strings.Contains(viewOf(t, b[0]).Reason, "kernel update") })
	for range 3 {
		p.reload(site + "\nheader X-Reload again")
		p.reload(site)
		if got := p.sequence(4); got != "b b b b" {
			t.Errorf("drained, and asked: %s", got)
		}
	}
	select {
	case <-waiting.ended:
		t.Fatalf("it does not wait for the request: %s%s", &waiting.stdout, &waiting.stderr)
	default:
	}
	close(let)
	for _, answers := range []<-chan answer{first, second} {
		if a := <-answers; a.status != http.StatusOK {
			t.Errorf("a request in flight: %v", a)
		}
	}
	if says := waiting.expect(t, 0); !strings.Contains(says, "nothing is in flight") {
		t.Errorf("it says %s", says)
	}
	if says := lb(t); !strings.Contains(says, "kernel update") || !strings.Contains(says, "0 (config 1)") || !strings.Contains(says, "orders in force") {
		t.Errorf("the table does not show the order:\n%s", says)
	}

	lb(t, "ready", b[0].addr, "--pool", "web") // the drain is for all pools
	if says := begin(t, "drain", b[0].addr, "--wait").expect(t, 4); !strings.Contains(says, "not drained in web (up; ordered: ready in this pool)") {
		t.Errorf("an order of the pool goes before it, and it says %s", says)
	}
	lb(t, "ready", b[0].addr)
	if says := lb(t, "ready", b[0].addr, "--pool", "web"); !strings.Contains(says, "no orders") {
		t.Errorf("nothing is drained, and it says %s", says)
	}
	lb(t, "drain", b[0].addr, "--wait") // which no order of the pool keeps from it
	if says := lb(t, "ready", b[0].addr); !strings.Contains(says, "in web: up") {
		t.Errorf("ready, and it says %s", says)
	}
	if got := p.shares(4); got["a"] != 2 {
		t.Errorf("ready, and asked: %v", got)
	}
}

func TestWeightsByCommand(t *testing.T) {
	b := backends(t, "a", "b")
	p := run(t, policy(addrs(b...), "smooth_weighted_round_robin", "name web\nhealth_check http {\n interval 1h\n}"))
	if says := lb(t, "weight", b[0].addr, "3"); !strings.Contains(says, "weight 3 (config 1)") {
		t.Errorf("it says %s", says)
	}
	if got := p.shares(8); got["a"] != 6 {
		t.Errorf("of 8 with weights of 3 and 1: %v", got)
	}
	if says := lb(t, "weight", b[0].addr, "default"); !strings.Contains(says, "no orders") {
		t.Errorf("it says %s", says)
	}
	if got := p.shares(8); got["a"] != 4 {
		t.Errorf("of 8 with weights of 1: %v", got)
	}
	probed := b[1].probes.Load() + b[1].requests.Load()
	lb(t, "check", b[1].addr)
	eventually(t, 5*time.Second, "a probe", func() bool { return b[1].probes.Load()+b[1].requests.Load() > probed })
	var all struct {
		Pools []pool.View `json:"pools"`
	}
	if text := lb(t, "--json"); json.Unmarshal([]byte(text), &all) != nil || len(all.Pools) != 1 || len(all.Pools[0].Upstreams) != 2 {
		t.Errorf("as JSON: %s", text)
	}
}

func TestPauseAndResume(t *testing.T) {
	b := backends(t, "a")
	p := run(t, policy(addrs(b...), "least_request", "name web\nhold 30s"))
	lb(t, "pause", "web", "--reason", "migration")
	answers := p.asynchronously()
	eventually(t, 5*time.Second, "the request is held", func() bool {
		var v pool.View
		return json.Unmarshal(adminGet(t, "/load_balancer/pools/web"), &v) == nil && v.Held == 1
	})
	if says := lb(t); !strings.Contains(says, "paused (paused by an operator: migration), requests held: 1") {
		t.Errorf("it says %s", says)
	}
	if n := b[0].requests.Load(); n != 0 {
		t.Errorf("paused, and %d requests came", n)
	}
	if says := lb(t, "resume", "web"); !strings.HasPrefix(says, "web: open") {
		t.Errorf("it says %s", says)
	}
	if a := <-answers; a.status != http.StatusOK {
		t.Errorf("a held request: %v", a)
	}
}
