package integration

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// haproxy is a running HAProxy, to compare with.
type haproxy struct {
	*proxy
	program string
	cmd     *exec.Cmd
	output  bytes.Buffer
}

// runHAProxy starts HAProxy with the given lines of a listen section. It ends
// with the test, which is skipped where there is no HAProxy.
func runHAProxy(t *testing.T, section string) *haproxy {
	t.Helper()
	program, err := exec.LookPath("haproxy")
	if err != nil {
		program = "/usr/sbin/haproxy" // where Debian has it, for not all users in their path
		if _, err := os.Stat(program); err != nil {
			t.Skip("there is no haproxy to compare with")
		}
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 1000, DisableCompression: true}
	h := &haproxy{
		program: program,
		proxy:   &proxy{t: t, client: &http.Client{Transport: transport, Timeout: 20 * time.Second}},
	}
	t.Cleanup(h.stop)
	h.reload(section)
	return h
}

// reload replaces the process by one with another config. It takes nothing over,
// as with HAProxy's own reload, but is not there for a moment.
func (h *haproxy) reload(section string) {
	h.t.Helper()
	h.stop()
	h.addr = freeAddr()
	h.url = "http://" + h.addr
	file := filepath.Join(h.t.TempDir(), "haproxy.cfg")
	text := fmt.Sprintf(`defaults
	mode http
	timeout connect 5s
	timeout client 20s
	timeout server 20s
	http-reuse always
listen test
	bind %s
	%s
`, h.addr, strings.ReplaceAll(section, "\n", "\n\t"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
	h.output.Reset()
	cmd := exec.Command(h.program, "-db", "-f", file) // -db: in the foreground
	cmd.Stdout, cmd.Stderr = &h.output, &h.output
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.cmd = cmd
	if !await(5*time.Second, func() bool {
		conn, err := net.Dial("tcp", h.addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}) {
		h.stop()
		h.t.Fatalf("HAProxy did not start with:\n%s\n%s", text, &h.output)
	}
}

// stop ends the process.
func (h *haproxy) stop() {
	if h.cmd != nil {
		h.cmd.Process.Kill()
		h.cmd.Wait()
		h.cmd = nil
	}
	h.client.CloseIdleConnections()
}
