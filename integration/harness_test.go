// Package integration tests the plugin in a running Caddy, with real backends.
// There is one Caddy in a process, so its tests run one after the other; those that
// take long run in processes of their own.
package integration

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-evenkeel/evenkeel"
)

// Set by TestMain: where Caddy is administered, and keeps its files.
var adminAddr, storageDir string

func TestMain(m *testing.M) {
	if name := os.Getenv(childEnv); name != "" {
		serveChild(name)
		return
	}
	if os.Getenv(commandEnv) != "" {
		caddycmd.Main()
		return
	}
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	var err error
	if storageDir, err = os.MkdirTemp("", "evenkeel-integration-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(storageDir)
	adminAddr = freeAddr()
	idle, err := adapt("", freeAddr(), "respond idle")
	if err == nil {
		err = caddy.Load(idle, true)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	setParallel()
	return m.Run()
}

// proxy is the running Caddy, with a site that a test has written.
type proxy struct {
	t       *testing.T
	globals string
	addr    string
	url     string
	client  *http.Client
}

// run starts Caddy with the given body of a site, and global options besides
// the harness's own. It ends with the test.
func run(t *testing.T, site string, globals ...string) *proxy {
	t.Helper()
	logs.reset()
	events.reset()
	transport := &http.Transport{MaxIdleConnsPerHost: 1000, DisableCompression: true}
	addr := freeAddr() // one for each test: a listener that has just been closed may still swallow connections
	p := &proxy{
		t:       t,
		globals: strings.Join(globals, "\n"),
		addr:    addr,
		url:     "http://" + addr,
		client: &http.Client{
			Transport:     transport,
			Timeout:       20 * time.Second,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := caddy.Stop(); err != nil {
			t.Error("stopping Caddy:", err)
		}
		if t.Failed() {
			t.Log("Caddy's log:\n" + logs.tail(40))
		}
	})
	p.reload(site)
	return p
}

// reload replaces the site.
func (p *proxy) reload(site string) {
	p.t.Helper()
	if err := p.tryReload(site); err != nil {
		p.t.Fatal(err)
	}
}

// tryReload replaces the site by way of the admin API, unless that fails.
func (p *proxy) tryReload(site string) error {
	config, err := adapt(p.globals, p.addr, site)
	if err != nil {
		return err
	}
	return load(config)
}

// adapt returns the JSON config with the given global options and site, at the
// given address.
func adapt(globals, addr, site string) ([]byte, error) {
	_, port, _ := net.SplitHostPort(addr)
	text := fmt.Sprintf(`{
	admin %s
	persist_config off
	auto_https off
	grace_period 1s
	storage file_system %s
	log {
		output capture
		format json
	}
	%s
}
http://:%s {
	bind 127.0.0.1
	%s
}
`, adminAddr, storageDir, globals, port, site)
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return nil, fmt.Errorf("adapting: %w\n%s", err, text)
	}
	return config, nil
}

// answer is what a client got.
type answer struct {
	status int
	body   string
	header http.Header
	err    error
}

// from returns the name of the backend that answered.
func (a answer) from() string { return a.header.Get(nameHeader) }

func (a answer) String() string {
	if a.err != nil {
		return a.err.Error()
	}
	return fmt.Sprintf("%d from %q: %.100q", a.status, a.from(), a.body)
}

// get asks for a path; once more where the connection was lost, as happens with
// any policy when a reload passes the listener on.
func (p *proxy) get(path string, header ...string) answer {
	a := p.do(http.MethodGet, path, "", header...)
	if a.err != nil && a.status == 0 {
		a = p.do(http.MethodGet, path, "", header...)
	}
	return a
}

// do makes a request; header is keys and values by turns.
func (p *proxy) do(method, path, body string, header ...string) answer {
	req, err := http.NewRequest(method, p.url+path, strings.NewReader(body))
	if err != nil {
		return answer{err: err}
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := p.client.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return answer{status: res.StatusCode, body: string(text), header: res.Header, err: err}
}

// sequence asks n times, one after the other, and returns who answered.
func (p *proxy) sequence(n int) string {
	p.t.Helper()
	var names []string
	for range n {
		a := p.get("/")
		if a.err != nil || a.status != http.StatusOK {
			p.t.Fatalf("request failed: %v", a)
		}
		names = append(names, a.from())
	}
	return strings.Join(names, " ")
}

// shares returns how many of n requests each backend has answered.
func (p *proxy) shares(n int) map[string]int {
	p.t.Helper()
	counts := make(map[string]int)
	for _, name := range strings.Fields(p.sequence(n)) {
		counts[name]++
	}
	return counts
}

// eventually waits until the condition holds; it must within the given time.
func eventually(t *testing.T, within time.Duration, what string, condition func() bool) {
	t.Helper()
	if !await(within, condition) {
		t.Fatalf("not within %s: %s", within, what)
	}
}

// holds watches that the condition holds for the given time.
func holds(t *testing.T, during time.Duration, what string, condition func() bool) {
	t.Helper()
	if await(during, func() bool { return !condition() }) {
		t.Fatalf("did not hold for %s: %s", during, what)
	}
}

// await returns whether the condition came true within the given time.
func await(within time.Duration, condition func() bool) bool {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(within); ; <-ticker.C {
		if condition() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}
