package integration

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// streamStatus opens n streams of the page and waits for what each one says first. The
// channel that it returns gets an element for each one that has ended.
func streamStatus(t *testing.T, url string, n int) <-chan error {
	t.Helper()
	ended := make(chan error, n)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	for range n {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/status?live", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(res.Body)
		for line := ""; !strings.HasPrefix(line, "data: "); {
			if line, err = lines.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		go func() {
			defer res.Body.Close()
			_, err := io.Copy(io.Discard, lines)
			ended <- err
		}()
	}
	return ended
}

func expectEnds(t *testing.T, ended <-chan error, n int) {
	t.Helper()
	for range n {
		if err := <-ended; err != nil {
			t.Errorf("a stream broke off: %v", err)
		}
	}
}

// An open stream delays neither a reload nor a stop. The grace period is longer than the
// tests may take, so that one that waits for it fails.
func TestStatusPageStreamsEndWithTheConfiguration(t *testing.T) {
	if forked(t) {
		return
	}
	b := start(t, "a")
	p := &proxy{t: t, addr: freeAddr()}
	p.url = "http://" + p.addr
	load := func(site string) {
		config, err := adapt("", p.addr, site)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(config), `"grace_period":1000000000`, `"grace_period":600000000000`)
		if text == string(config) {
			t.Fatal("the grace period is not in the configuration")
		}
		if err := caddy.Load([]byte(text), true); err != nil {
			t.Fatal(err)
		}
	}
	load(statusSite("", b.addr))
	ended := streamStatus(t, p.url, 50)
	load(statusSite("hold off", b.addr))
	expectEnds(t, ended, 50)

	ended = streamStatus(t, p.url, 50)
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	expectEnds(t, ended, 50)
}

// `caddy stop` waits for the servers, unlike a reload: a process of its own shows it.
func TestCaddyStopDoesNotWaitForTheStatusPage(t *testing.T) {
	admin, addr := freeAddr(), freeAddr()
	_, port, _ := net.SplitHostPort(addr)
	dir := t.TempDir()
	caddyfile := dir + "/Caddyfile"
	text := fmt.Sprintf(`{
	admin %s
	persist_config off
	auto_https off
	grace_period 10m
	storage file_system %s
}
http://:%s {
	bind 127.0.0.1
	%s
}
`, admin, dir, port, statusSite("", "127.0.0.1:1"))
	if err := os.WriteFile(caddyfile, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	binary := dir + "/caddy"
	if output, err := exec.Command("go", "build", "-buildvcs=false", "-o", binary, "../cmd/caddy").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	cmd := exec.CommandContext(t.Context(), binary, "run", "--adapter", "caddyfile", "--config", caddyfile)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	url := "http://" + addr
	eventually(t, 20*time.Second, "Caddy serves", func() bool {
		res, err := http.Get(url + "/status")
		if err == nil {
			res.Body.Close()
		}
		return err == nil
	})
	ended := streamStatus(t, url, 49)

	// One client reads nothing at all.
	deaf, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	fmt.Fprintf(deaf, "GET /status?live HTTP/1.1\r\nHost: %s\r\n\r\n", addr)
	begun := time.Now()
	if output, err := exec.Command(binary, "stop", "--address", admin).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	expectEnds(t, ended, 49)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	t.Log("stopped within", time.Since(begun))
}
