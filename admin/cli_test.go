package admin

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// result is what a command did.
type result struct {
	code           int
	stdout, stderr string
}

// execute runs the command with the arguments, as Caddy does.
func execute(t *testing.T, args ...string) result {
	t.Helper()
	return executeUntil(t.Context(), args...)
}

func executeUntil(ctx context.Context, args ...string) (r result) {
	root, cmd := &cobra.Command{Use: "caddy", SilenceUsage: true}, &cobra.Command{}
	build(cmd)
	root.AddCommand(cmd)
	var stdout, stderr bytes.Buffer
	root.SetOut(&stdout)
	root.SetErr(&stderr)
	root.SetArgs(args)
	if err := root.ExecuteContext(ctx); err != nil {
		r.code = processExit(err)
	}
	r.stdout, r.stderr = stdout.String(), stderr.String()
	return r
}

// processExit returns what the process exits with: Caddy's main function takes it from a
// type that it does not export, and else it is 1.
func processExit(err error) int {
	if v := reflect.ValueOf(err); v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Struct {
		if code := v.Elem().FieldByName("ExitCode"); code.IsValid() {
			return int(code.Int())
		}
	}
	return 1
}

// fixtures answers with the files of the fixture.
func fixtures(w http.ResponseWriter, r *http.Request) {
	http.ServeFile(w, r, filepath.Join("testdata/cli", filepath.Base(r.URL.Path)+".json"))
}

// served starts a server in place of Caddy's, and returns its address.
func served(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// answering answers all requests alike.
func answering(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

func TestExitCodes(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	drain := []string{"drain", "10.0.0.1:80"}
	for name, c := range map[string]struct {
		serve http.HandlerFunc // nil: none listens
		args  []string
		code  int
		says  string
	}{
		"done":                    {answering(200, `[]`), nil, 0, ""},
		"unknown subcommand":      {answering(200, ``), []string{"drian", "a:1"}, 2, "unknown subcommand 'drian'; did you mean drain?"},
		"unknown flag":            {answering(200, ``), []string{"drain", "a:1", "--wiat"}, 2, "unknown flag: --wiat"},
		"bad duration":            {answering(200, ``), []string{"drain", "a:1", "--wait", "--timeout", "soon"}, 2, "soon"},
		"timeout below zero":      {answering(200, ``), []string{"drain", "a:1", "--wait", "--timeout", "-1s"}, 2, "below zero"},
		"timeout without wait":    {answering(200, ``), []string{"drain", "a:1", "--timeout", "1s"}, 2, "without --wait"},
		"interval without watch":  {answering(200, ``), []string{"--interval", "1s"}, 2, "without --watch"},
		"interval too short":      {answering(200, ``), []string{"--watch", "--interval", "1ns"}, 2, "below"},
		"no address":              {answering(200, ``), []string{"drain"}, 2, "0 arguments are not what it takes: caddy load-balancer drain <address> [flags]"},
		"empty address":           {answering(200, ``), []string{"drain", ""}, 2, "the address is empty"},
		"two addresses":           {answering(200, ``), []string{"drain", "a:1", "b:1"}, 2, "2 arguments"},
		"empty pool":              {answering(200, ``), []string{"drain", "a:1", "--pool", ""}, 2, "--pool is empty"},
		"bad weight":              {answering(200, ``), []string{"weight", "a:1", "many"}, 2, "'many' is neither"},
		"weight below zero":       {answering(200, ``), []string{"weight", "a:1", "--", "-1"}, 2, "'-1' is neither"},
		"bad admin address":       {answering(200, ``), []string{"--address", "localhost:1-9"}, 2, "more than one port"},
		"no config file":          {answering(200, ``), []string{"--address", "", "--config", "/nowhere"}, 1, "/nowhere"},
		"refused by the API":      {answering(400, `{"error":"ttl: bad"}`), drain, 2, "ttl: bad"},
		"unknown upstream":        {answering(404, `{"error":"no pool has it"}`), drain, 3, "no pool has it"},
		"unknown pool":            {answering(404, `{"error":"there is no pool"}`), []string{"pause", "web"}, 3, "there is no pool"},
		"unknown pool, shown":     {fixtures, []string{"--pool", "nope"}, 3, "there is no pool 'nope'"},
		"no health check":         {answering(409, `{"error":"no health check"}`), []string{"check", "a:1"}, 4, "no health check"},
		"orders changed":          {answering(412, `{"error":"changed"}`), drain, 4, "changed"},
		"storage":                 {answering(503, `{"error":"the storage is full"}`), drain, 1, "the storage is full"},
		"origin not allowed":      {answering(403, `{"error":"origin"}`), drain, 1, "origin"},
		"no plugin":               {http.NotFound, drain, 1, "built without this plugin"},
		"something else":          {answering(500, "\x1b[2J"), drain, 1, `Caddy answers 500 Internal Server Error: \u001b[2J`},
		"an answer of nonsense":   {answering(200, `{`), nil, 1, "makes no sense"},
		"nobody there":            {nil, drain, 5, "no answer from Caddy at"},
		"nobody there, resumed":   {nil, []string{"resume", "web"}, 5, "no answer from Caddy at"},
		"nobody there, shown":     {nil, []string{"--json"}, 5, "no answer from Caddy at"},
		"nobody there, on a unix": {nil, []string{"--address", "unix//nowhere/sock"}, 5, "no answer from Caddy at unix//nowhere/sock"},
		"timed out": {answering(200, `[{"pool":"web","address":"a:1","state":"draining","in_flight":2}]`),
			[]string{"drain", "a:1", "--wait", "--timeout", "1ms"}, 6, "after 1ms"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := closed.Addr().String()
			if c.serve != nil {
				address = served(t, c.serve)
			}
			args := append([]string{"lb", "--address", address}, c.args...)
			r := execute(t, args...)
			if r.code != c.code || !strings.Contains(r.stderr, c.says) || c.code != 0 && strings.Count(r.stderr, "\n") != 1 {
				t.Errorf("exits with %d, want %d; want %q in stderr: %q; stdout %q", r.code, c.code, c.says, r.stderr, r.stdout)
			}
		})
	}
}

// Each command asks the API for what it is to.
func TestWhatCommandsAskFor(t *testing.T) {
	for args, want := range map[string]string{
		"drain 10.0.0.1:80":                  `PATCH upstreams/10.0.0.1:80 {"reason":"","state":"drain","ttl":""}`,
		"drain unix//run/a.sock --pool web":  `PATCH upstreams/unix%2F%2Frun%2Fa.sock {"pool":"web","reason":"","state":"drain","ttl":""}`,
		"maintenance [::1]:80 --ttl 1m":      `PATCH upstreams/%5B::1%5D:80 {"reason":"","state":"maintenance","ttl":"1m"}`,
		"drain a:1 --reason 50%":             `PATCH upstreams/a:1 {"reason":"50%","state":"drain","ttl":""}`,
		"ready a:1":                          `PATCH upstreams/a:1 {"state":"ready"}`,
		"ready a:1 --pool web --ttl 1h":      `PATCH upstreams/a:1 {"pool":"web","state":"ready","ttl":"1h"}`,
		"weight a:1 5":                       `PATCH upstreams/a:1 {"weight":5}`,
		"weight a:1 0 --reason x":            `PATCH upstreams/a:1 {"reason":"x","weight":0}`,
		"weight a:1 default --pool web":      `PATCH upstreams/a:1 {"pool":"web","weight":null}`,
		"ready a:1 --pool web":               `DELETE upstreams/a:1?pool=web `,
		"ready a:1 --pool api":               `PATCH upstreams/a:1 {"pool":"api","state":"ready"}`,
		"check a:1":                          `POST upstreams/a:1/check `,
		"check a:1 --pool a+b":               `POST upstreams/a:1/check?pool=a%2Bb `,
		"pause least_request@a:1 --ttl 1m":   `PATCH pools/least_request@a:1 {"reason":"","state":"paused","ttl":"1m"}`,
		"resume web":                         `PATCH pools/web {"state":"open"}`,
		"resume rendezvous@%2F:80":           `PATCH pools/rendezvous@%252F:80 {"state":"open"}`,
		"weight {http.vars.a}:80 2147483647": `PATCH upstreams/%7Bhttp.vars.a%7D:80 {"weight":2147483647}`,
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			asked := make(chan string, 1)
			address := served(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/pools/") {
					answering(200, `{"name":"web","state":"open"}`)(w, r)
					return
				}
				if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/orders") {
					answering(200, `[{"address":"a:1","weight":2},{"address":"b:1","state":"drain"},{"pool":"web","address":"a:1","state":"drain"},
						{"pool":"api","address":"a:1","state":"drain","weight":2}]`)(w, r)
					return
				}
				if r.Method == http.MethodGet {
					answering(200, `[{"pool":"web","address":"a:1","state":"maintenance"},{"pool":"api","address":"a:1","state":"maintenance"}]`)(w, r)
					return
				}
				body, _ := io.ReadAll(r.Body)
				asked <- r.Method + " " + strings.TrimPrefix(r.URL.RequestURI(), root) + " " + string(body)
				if kind := r.Header.Get("Content-Type"); len(body) > 0 && kind != "application/json" {
					t.Errorf("content type %q", kind)
				}
				answering(200, `{}`)(w, r)
			})
			if r := execute(t, append(append([]string{"load-balancer"}, strings.Fields(args)...), "--address", address)...); r.stderr != "" {
				t.Error(r.stderr)
			}
			select {
			case got := <-asked:
				if got != want {
					t.Errorf("asks\n%s, want\n%s", got, want)
				}
			default:
				t.Error("asks nothing")
			}
		})
	}
}

// What follows from an order is said, orders for one pool included.
func TestOrdersSayWhatFollows(t *testing.T) {
	address := served(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPatch {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		answering(200, `[{"pool":"api","address":"a:1","state":"draining","reason":"drained by an operator","weight":0,"configured":{"weight":2},
			"ordered":[{"pool":"api","address":"a:1","state":"drain","given":"2026-03-01T11:59:50Z"}]},
			{"pool":"web","address":"a:1","state":"up","reason":"available now","weight":2,"configured":{"weight":2}}]`)(w, r)
	})
	r := execute(t, "lb", "ready", "a:1", "--address", address)
	want := "a:1 in api: draining, weight 0 (config 2): drained by an operator; ordered: drain in this pool\n" +
		"a:1 in web: up, weight 2: available now; no orders\n"
	if r.code != 0 || r.stdout != want {
		t.Errorf("exits with %d, says %s%s, want %s", r.code, r.stdout, r.stderr, want)
	}
}

// The admin address is found as other commands of Caddy find it.
func TestAdminAddressOfAConfig(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(fixtures)}}
	s.Start()
	defer s.Close()
	file := filepath.Join(t.TempDir(), "caddy.json")
	if err := os.WriteFile(file, []byte(`{"admin":{"listen":"unix/`+socket+`|0220"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := execute(t, "lb", "--config", file); r.code != 0 || !strings.Contains(r.stdout, "10.0.0.2:80") {
		t.Errorf("by its config: %+v", r)
	}
	if r := execute(t, "lb", "--address", "unix/"+socket, "--config", "/nowhere"); r.code != 0 {
		t.Errorf("by its address: %+v", r)
	}
}

func TestCompletion(t *testing.T) {
	address := served(t, fixtures)
	for args, want := range map[string]string{
		"drain 10.":                "10.0.0.1:80 10.0.0.2:80 10.0.0.3:80 :4",
		"drain --pool api ":        "api.internal:8080 :4",
		"drain 10.0.0.1:80 ":       ":4",
		"ready --pool ":            "api empty web :4",
		"weight 10.0.0.1:80 ":      "default :4",
		"pause w":                  "web :4",
		"--pool e":                 "empty :4",
		"check 10.0.0.1:80 --pool": "--pool :4",
	} {
		words := append([]string{cobra.ShellCompNoDescRequestCmd, "lb", "--address", address}, strings.Split(args, " ")...)
		r := execute(t, words...)
		if got := strings.Join(strings.Fields(r.stdout), " "); got != want {
			t.Errorf("%q completes to %q, want %q", args, got, want)
		}
	}
	if r := execute(t, cobra.ShellCompNoDescRequestCmd, "lb", "--address", "unix//nowhere", "drain", ""); strings.TrimSpace(r.stdout) != ":4" {
		t.Errorf("without Caddy: %q", r.stdout)
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{nil, {"drain"}, {"ready"}, {"maintenance"}, {"weight"}, {"check"}, {"pause"}, {"resume"}} {
		r := execute(t, append(append([]string{"lb"}, args...), "--help")...)
		if r.code != 0 || !strings.Contains(r.stdout, "Examples:\n  $ caddy l") || !strings.Contains(r.stdout, "--address") {
			t.Errorf("%v: %s", args, r.stdout)
		}
	}
}
