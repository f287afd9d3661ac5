//go:build unix

package healthcheck

import (
	"context"
	"crypto/tls"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// shell returns a checker that runs a shell script, whose arguments are $1 and
// so on.
func shell(t *testing.T, script string, args ...string) *Exec {
	t.Helper()
	c := &Exec{Command: "/bin/sh", Args: append([]string{"-c", script, "sh"}, args...)}
	if err := c.Provision(configContext(t, allowed)); err != nil {
		t.Fatal(err)
	}
	return c
}

var execTarget = Target{Upstream: "app.example:80", Dial: reverseproxy.DialInfo{
	Network: "tcp", Address: "app.example:80", Host: "app.example", Port: "80",
}}

func TestExecReasons(t *testing.T) {
	long := strings.Repeat("x", 10*maxReason)
	for name, test := range map[string]struct{ script, reason string }{
		"passes":            {"exit 0", "<nil>"},
		"passes with words": {"echo all is well; echo really >&2", "<nil>"},
		"fails":             {"exit 1", "exit status 1"},
		"fails with reason": {"echo disk full; exit 2", "exit status 2: disk full"},
		"of standard error": {"echo no such table >&2; exit 2", "exit status 2: no such table"},
		"first line":        {`printf '\n\n  one \r\ntwo\n'; exit 3`, "exit status 3: one"},
		"control character": {`printf 'a\033[2Jb\tc\n'; exit 3`, "exit status 3: a [2Jb c"},
		"no text":           {`printf '\377\376\n'; exit 3`, "exit status 3: \uFFFD\uFFFD"},
		"long line":         {"echo " + long + "; exit 3", "exit status 3: " + long[:maxReason-16] + "…"},
		"killed":            {"kill -9 $$", "signal: killed"},
		"not found":         {"no-such-command-here 2>/dev/null", "exit status 127"},
	} {
		t.Run(name, func(t *testing.T) {
			verifyNoLeaks(t)
			expectReason(t, checkSoon(t, shell(t, test.script), execTarget), test.reason)
		})
	}
}

func TestExecThatCannotStart(t *testing.T) {
	c := shell(t, "exit 0")
	c.path = filepath.Join(t.TempDir(), "gone")
	expectReason(t, checkSoon(t, c, execTarget), "fork/exec "+c.path+": no such file or directory")
}

func TestExecOutputIsBounded(t *testing.T) {
	// More than a pipe holds: the command hangs unless all is read.
	c := shell(t, "head -c 10000000 /dev/zero | tr '\\0' x; exit 3")
	if err := checkSoon(t, c, execTarget); err == nil || !strings.HasPrefix(err.Error(), "exit status 3: xxx") {
		t.Errorf("got %v", err)
	}
	var out output
	for range 1000 {
		if n, err := out.Write([]byte(strings.Repeat("y", 1000))); n != 1000 || err != nil {
			t.Fatal(n, err)
		}
	}
	if len(out.kept) != maxOutput {
		t.Errorf("%d bytes kept", len(out.kept))
	}
}

func TestExecTimeouts(t *testing.T) {
	for name, script := range map[string]string{
		"hangs":          "sleep 1000",
		"writes":         "while :; do echo still here; done",
		"does not heed":  "trap '' TERM INT HUP; while :; do :; done",
		"has a child":    "sleep 1000 & wait",
		"and a deaf one": "(trap '' TERM; sleep 1000) & wait",
	} {
		t.Run(name, func(t *testing.T) {
			verifyNoLeaks(t)
			checkBriefly(t, shell(t, script), execTarget)
		})
	}
}

// fifo is a named pipe: it shows whether a process still has it open.
type fifo struct {
	path   string
	opened chan *os.File
}

func newFifo(t *testing.T) *fifo {
	t.Helper()
	f := &fifo{filepath.Join(t.TempDir(), "fifo"), make(chan *os.File, 1)}
	if err := syscall.Mkfifo(f.path, 0o600); err != nil {
		t.Fatal(err)
	}
	go func() {
		file, _ := os.Open(f.path) // once there is somebody to write
		f.opened <- file
	}()
	return f
}

// awaitEnd reads until all that have the pipe open for writing are gone.
func awaitEnd(t *testing.T, file *os.File) {
	t.Helper()
	defer file.Close()
	if err := file.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, file); err != nil {
		t.Errorf("a process still has it open: %v", err)
	}
}

func TestExecTakesItsChildrenAlong(t *testing.T) {
	for name, test := range map[string]struct {
		script string
		cut    bool // after the child has begun; else the command ends by itself
	}{
		"when it is cut off":         {`(echo begun >&3; exec sleep 1000) & wait`, true},
		"and the child's child":      {`(sh -c 'echo begun >&3; sleep 1000; :'; :) & wait`, true},
		"when it ends":               {`sleep 1000 > /dev/null 2>&1 & exit 0`, false},
		"although it holds its pipe": {`sleep 1000 & exit 0`, false},
	} {
		t.Run(name, func(t *testing.T) {
			verifyNoLeaks(t)
			f := newFifo(t)
			c := shell(t, `exec 3> "$1"; `+test.script, f.path)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- c.Check(ctx, execTarget) }()
			file := <-f.opened
			if test.cut {
				if _, err := io.ReadFull(file, make([]byte, len("begun\n"))); err != nil {
					t.Fatal(err)
				}
				cancel()
				expectReason(t, <-ended, "probe was cut off")
			} else {
				expectReason(t, <-ended, "<nil>")
			}
			awaitEnd(t, file)
		})
	}
}

// One that has made itself independent is out of reach, but not waited for.
func TestExecDoesNotWaitForTheIndependent(t *testing.T) {
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip(err)
	}
	verifyNoLeaks(t)
	release := filepath.Join(t.TempDir(), "release")
	if err := syscall.Mkfifo(release, 0o600); err != nil {
		t.Fatal(err)
	}
	defer func() {
		file, err := os.OpenFile(release, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		file.WriteString("\n\n")
		file.Close()
	}()
	expectReason(t, checkSoon(t, shell(t, `setsid sh -c 'read x < "$1"' sh "$1" & exit 0`, release), execTarget), "<nil>")
	expectReason(t, checkSoon(t, shell(t, `setsid sh -c 'read x < "$1"' sh "$1" & echo bad; exit 1`, release), execTarget), "exit status 1: bad")
}

func TestExecArgumentsAndEnvironment(t *testing.T) {
	t.Setenv("SECRET", "of Caddy's")
	socket := Target{Upstream: "unix//run/a.sock", Dial: reverseproxy.DialInfo{Network: "unix", Address: "/run/a.sock", Host: "/run/a.sock", Port: "0"}}
	encrypted := execTarget
	encrypted.Upstream, encrypted.TLS = "https://app.example", new(tls.Config)
	for name, test := range map[string]struct {
		target Target
		args   string
		env    map[string]string
	}{
		"address": {execTarget, "app.example:80|NOT_USED|NOT_USED|app.example|80", map[string]string{
			"HAPROXY_SERVER_NAME": "app.example:80", "HAPROXY_SERVER_ADDR": "app.example", "HAPROXY_SERVER_PORT": "80", "HAPROXY_SERVER_SSL": "0",
		}},
		"socket": {socket, "/run/a.sock|NOT_USED|NOT_USED|/run/a.sock|NOT_USED", map[string]string{
			"HAPROXY_SERVER_NAME": "unix//run/a.sock", "HAPROXY_SERVER_ADDR": "/run/a.sock", "HAPROXY_SERVER_PORT": "", "HAPROXY_SERVER_SSL": "0",
		}},
		"TLS": {encrypted, "app.example:80|NOT_USED|NOT_USED|app.example|80", map[string]string{
			"HAPROXY_SERVER_NAME": "https://app.example", "HAPROXY_SERVER_ADDR": "app.example", "HAPROXY_SERVER_PORT": "80", "HAPROXY_SERVER_SSL": "1",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "out")
			const own = "{http.reverse_proxy.upstream.hostport}"
			c := shell(t, `out=$1; shift; IFS='|'; echo "$*" > "$out"; env >> "$out"`, file, own)
			c.Env = map[string]string{"OWN": "is " + own, "HAPROXY_PROXY_NAME": "web"}
			expectReason(t, checkSoon(t, c, test.target), "<nil>")
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSpace(string(text)), "\n")
			if lines[0] != test.args {
				t.Errorf("arguments %s, want %s", lines[0], test.args)
			}
			got := make(map[string]string)
			for _, line := range lines[1:] {
				name, value, _ := strings.Cut(line, "=")
				got[name] = value
			}
			for _, name := range []string{"PWD", "OLDPWD", "SHLVL", "_"} {
				delete(got, name) // the shell's
			}
			want := map[string]string{
				"PATH": os.Getenv("PATH"), "OWN": "is " + test.target.Dial.Address, "HAPROXY_PROXY_NAME": "web",
				"HAPROXY_PROXY_ID": "", "HAPROXY_PROXY_ADDR": "", "HAPROXY_PROXY_PORT": "", "HAPROXY_SERVER_ID": "",
				"HAPROXY_SERVER_MAXCONN": "", "HAPROXY_SERVER_CURCONN": "", "HAPROXY_SERVER_PROTO": "",
			}
			maps.Copy(want, test.env)
			if !maps.Equal(got, want) {
				t.Errorf("environment\n%q, want\n%q", pairs(got), pairs(want))
			}
		})
	}
}

func pairs(env map[string]string) (list []string) {
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}

func TestExecDir(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/bin/sh", filepath.Join(dir, "check")); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"./check", "../" + filepath.Base(dir) + "/check", filepath.Join(dir, "check"), "sh"} {
		c := &Exec{Command: command, Args: []string{"-c", "pwd; exit 1"}, Dir: dir}
		if err := c.Provision(configContext(t, allowed)); err != nil {
			t.Fatal(err)
		}
		expectReason(t, checkSoon(t, c, execTarget), "exit status 1: "+dir)
	}
}
