package integration

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// shownUpstream and shownPool are what the admin API shows, as far as tests look at it.
type shownUpstream struct {
	Pool, Address, State, Reason string
	Since                        *time.Time
	InFlight                     int `json:"in_flight"`
	Weight                       float64
}

type shownPool struct {
	State, Reason string
	Held          int
}

// upstreamsPath is the path of the backend's upstream in the admin API.
func upstreamsPath(addr string) string { return "/load_balancer/upstreams/" + url.PathEscape(addr) }

// tellAdmin asks the admin API for something; the answer must have the status.
func tellAdmin(t *testing.T, method, path, body string, want int) {
	t.Helper()
	tellAdminAt(t, adminAddr, method, path, body, want)
}

func tellAdminAt(t *testing.T, admin, method, path, body string, want int) {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+admin+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); res.StatusCode != want {
		t.Fatalf("%s %s %s: got %d %s, want %d", method, path, body, res.StatusCode, text, want)
	}
}

// ordered gives an order for the backend, which ends with the test.
func ordered(t *testing.T, b *backend, body string) {
	t.Helper()
	tellAdmin(t, http.MethodPatch, upstreamsPath(b.addr), body, http.StatusOK)
}

func ready(t *testing.T, b *backend) {
	t.Helper()
	tellAdmin(t, http.MethodDelete, upstreamsPath(b.addr), "", http.StatusNoContent)
}

// shown returns what the admin API shows of the upstream, in one pool.
func shown(t *testing.T, addr string) shownUpstream {
	t.Helper()
	var all []shownUpstream
	if err := json.Unmarshal(adminGet(t, upstreamsPath(addr)), &all); err != nil || len(all) != 1 {
		t.Fatalf("%v, %d upstreams", err, len(all))
	}
	return all[0]
}

// poolShown returns what the admin API shows of the pool.
func poolShown(t *testing.T, name string) (p shownPool) {
	t.Helper()
	if err := json.Unmarshal(adminGet(t, "/load_balancer/pools/"+name), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// awaitState waits until the upstream has the state, with a reason and since when.
func awaitState(t *testing.T, addr, state, reason string) {
	t.Helper()
	var u shownUpstream
	if !await(4*time.Second, func() bool { u = shown(t, addr); return u.State == state }) {
		t.Fatalf("state %s: %s; want %s", u.State, u.Reason, state)
	}
	if !strings.Contains(u.Reason, reason) {
		t.Errorf("state %s: reason %q, want %q", state, u.Reason, reason)
	}
	if u.Since == nil || time.Since(*u.Since) > time.Minute || time.Until(*u.Since) > time.Second {
		t.Errorf("state %s: since %v", state, u.Since)
	}
}

// instanceEnv has the file with the site and the storage of another Caddy.
const instanceEnv = "EVENKEEL_TEST_INSTANCE"

// instance is a Caddy in a process of its own, which can be killed.
type instance struct {
	Site, Storage, Admin, Addr string

	cmd *exec.Cmd
}

// startInstance starts another Caddy, on the same storage.
func startInstance(t *testing.T, number int, site string) *instance {
	t.Helper()
	i := &instance{Site: site, Storage: storageDir}
	file := filepath.Join(t.TempDir(), "instance")
	writeJSON(t, file, i)
	cmd := exec.Command(os.Args[0], "-test.run=^TestAnotherInstance$", "-test.timeout=60s")
	first, _ := strconv.Atoi(os.Getenv(portsEnv))
	if first += 40 * number; first < firstOwnPort {
		t.Fatal("it runs in a process of its own only")
	}
	cmd.Env = append(os.Environ(), instanceEnv+"="+file, portsEnv+"="+strconv.Itoa(first))
	if _, err := cmd.StdinPipe(); err != nil { // its end ends the process
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	i.cmd = cmd
	t.Cleanup(i.kill)
	eventually(t, 20*time.Second, "the instance runs", func() bool {
		_, err := os.Stat(file + ".ready")
		return err == nil
	})
	readJSON(t, file+".ready", i)
	return i
}

func (i *instance) kill() {
	if i.cmd.ProcessState == nil {
		i.cmd.Process.Kill()
		i.cmd.Wait()
	}
}

// from returns who answers a request to the instance.
func (i *instance) from(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+i.Addr, nil)
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res.Header.Get(nameHeader)
}

// TestAnotherInstance is the process of an instance.
func TestAnotherInstance(t *testing.T) {
	file := os.Getenv(instanceEnv)
	if file == "" {
		return
	}
	var i instance
	readJSON(t, file, &i)
	storageDir = i.Storage
	p := run(t, i.Site)
	i.Admin, i.Addr = adminAddr, p.addr
	writeJSON(t, file+".tmp", i)
	if err := os.Rename(file+".tmp", file+".ready"); err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, os.Stdin)
}
