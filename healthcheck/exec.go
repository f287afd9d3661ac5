package healthcheck

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-evenkeel/evenkeel/internal/app"
	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
)

func init() { caddy.RegisterModule(new(Exec)) }

const (
	// maxOutput is how much of a command's output is kept for a reason, in
	// bytes.
	maxOutput = 4 * maxReason

	// drainTime is how long the output is read after the command has exited,
	// where a process that it left behind keeps it open.
	drainTime = 500 * time.Millisecond
)

// Exec is the checker `exec`. A target passes when a command exits with status
// 0; else the first line of its output is the reason. Whatever still runs at the
// check's timeout, or when the command has exited, is killed: on Unix the whole
// process group, elsewhere the command only.
//
// It runs programs made for HAProxy's external checks. After the arguments of
// its own, it gets HAProxy's four: NOT_USED, NOT_USED (there is no one listener),
// the host or socket path of what is probed, and its port, NOT_USED for a socket.
// Its environment has PATH, as Caddy has it, and HAProxy's variables:
//
// Variable | Value
// ---------|------
// `HAPROXY_SERVER_NAME` | The upstream's address as configured
// `HAPROXY_SERVER_ADDR` | The host or socket path of what is probed
// `HAPROXY_SERVER_PORT` | Its port; empty for a socket
// `HAPROXY_SERVER_SSL` | 1 where requests to it use TLS, else 0
// `HAPROXY_SERVER_ID`, `HAPROXY_SERVER_MAXCONN`, `HAPROXY_SERVER_CURCONN`, `HAPROXY_SERVER_PROTO`, `HAPROXY_PROXY_NAME`, `HAPROXY_PROXY_ID`, `HAPROXY_PROXY_ADDR`, `HAPROXY_PROXY_PORT` | Empty
//
// The global option `load_balancer` must have `allow_exec`.
type Exec struct {
	// The command: a path, or a name to look for in PATH. No shell reads it.
	Command string `json:"command,omitempty"`

	// Its first arguments. They may have the placeholders that the checker
	// `http` has. Default: none.
	Args []string `json:"args,omitempty"`

	// Further environment variables. Values may have placeholders as args
	// may. Default: none.
	Env map[string]string `json:"env,omitempty"`

	// Directory to run in; a relative path of the command begins there.
	// Default: Caddy's own.
	Dir string `json:"dir,omitempty"`

	path string // of the command
}

// CaddyModule returns the Caddy module information.
func (*Exec) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  Namespace + ".exec",
		New: func() caddy.Module { return new(Exec) },
	}
}

// Provision looks up the command, if commands are allowed.
func (c *Exec) Provision(ctx caddy.Context) error {
	a, err := app.Of(ctx)
	if err != nil {
		return err
	}
	if !a.AllowExec {
		return errors.New("running commands is not allowed: set allow_exec in the global option load_balancer")
	}
	if err := c.validate(); err != nil {
		return err
	}
	if c.Dir != "" {
		if info, err := os.Stat(c.Dir); err != nil {
			return fmt.Errorf("dir: %w", err)
		} else if !info.IsDir() {
			return fmt.Errorf("dir: %s is not a directory", c.Dir)
		}
	}
	c.path = c.Command
	if filepath.Base(c.path) != c.path && !filepath.IsAbs(c.path) {
		if c.path, err = filepath.Abs(filepath.Join(c.Dir, c.path)); err != nil {
			return fmt.Errorf("command: %w", err)
		}
	}
	c.path, err = exec.LookPath(c.path)
	if wrapped := new(exec.Error); errors.As(err, &wrapped) {
		err = wrapped.Err // without the path that was looked up
	}
	if err != nil {
		return fmt.Errorf("command: '%s': %w", c.Command, err)
	}
	return nil
}

// validate returns an error that names an option and its value.
func (c *Exec) validate() error {
	if c.Command == "" {
		return errors.New("command: empty")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Env)) {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			return fmt.Errorf("env: '%s' is not the name of a variable", name)
		}
	}
	return nil
}

// Check implements [Checker].
func (c *Exec) Check(ctx context.Context, t Target) error {
	ctx = withBudget(ctx)
	var out output
	cmd := c.command(ctx, t)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return reason(ctx, err)
	}
	err := cmd.Wait()
	killGroup(cmd)
	switch {
	case cmd.ProcessState.Success():
		return nil // even if there was more output to come
	case ctx.Err() != nil:
		return reason(ctx, ctx.Err())
	}
	return failf("%s", strings.TrimSuffix(fmt.Sprintf("%v: %s", err, out.firstLine()), ": "))
}

// command returns the command for one probe of the target.
func (c *Exec) command(ctx context.Context, t Target) *exec.Cmd {
	host, port, portArg := t.Dial.Host, t.Dial.Port, t.Dial.Port
	if caddy.IsUnixNetwork(t.Dial.Network) || caddy.IsFdNetwork(t.Dial.Network) {
		host, port, portArg = t.Dial.Address, "", "NOT_USED"
	}
	ssl := "0"
	if t.TLS != nil {
		ssl = "1"
	}
	repl := newReplacer(t)
	var args []string
	for _, arg := range c.Args {
		args = append(args, repl.ReplaceKnown(arg, ""))
	}
	cmd := exec.CommandContext(ctx, c.path, append(args, "NOT_USED", "NOT_USED", host, portArg)...)
	cmd.Dir = c.Dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"),
		"HAPROXY_PROXY_NAME=", "HAPROXY_PROXY_ID=", "HAPROXY_PROXY_ADDR=", "HAPROXY_PROXY_PORT=",
		"HAPROXY_SERVER_NAME=" + t.Upstream,
		"HAPROXY_SERVER_ID=",
		"HAPROXY_SERVER_ADDR=" + host,
		"HAPROXY_SERVER_PORT=" + port,
		"HAPROXY_SERVER_MAXCONN=", "HAPROXY_SERVER_CURCONN=",
		"HAPROXY_SERVER_SSL=" + ssl,
		"HAPROXY_SERVER_PROTO=",
	}
	for name, value := range c.Env { // the last of a name counts
		cmd.Env = append(cmd.Env, name+"="+repl.ReplaceKnown(value, ""))
	}
	cmd.WaitDelay = drainTime
	ownGroup(cmd)
	return cmd
}

// output keeps the beginning of what a command writes, and drops the rest.
type output struct{ kept []byte }

func (o *output) Write(p []byte) (int, error) {
	o.kept = append(o.kept, p[:min(len(p), maxOutput-len(o.kept))]...)
	return len(p), nil
}

// firstLine returns the first line that is not blank.
func (o *output) firstLine() string {
	line, _, _ := bytes.Cut(bytes.TrimSpace(o.kept), []byte("\n"))
	return string(bytes.TrimSpace(line))
}

func init() { cfg.Options("exec", "health_check", "env", "dir") }

// UnmarshalCaddyfile sets up c from Caddyfile tokens. Syntax:
//
//	exec <command> [<args...>] {
//		env <name> <value>
//		dir <path>
//	}
func (c *Exec) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the checker's name
	if !d.NextArg() {
		return d.Err("exec: missing command")
	}
	c.Command, c.Args = d.Val(), d.RemainingArgs()
	if err := c.validate(); err != nil {
		return d.WrapErr(err)
	}
	seen := make(cfg.Seen)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		var err error
		switch d.Val() {
		case "env":
			err = addPair(d, &c.Env, strings.Clone)
		case "dir":
			if err = seen.Once(d); err == nil {
				c.Dir, err = nonEmpty(d)
			}
		default:
			err = cfg.Unknown(d, "exec")
		}
		if err != nil {
			return err
		}
		if err := c.validate(); err != nil {
			return d.WrapErr(err)
		}
	}
	return nil
}

// Interface guards
var (
	_ Checker               = (*Exec)(nil)
	_ caddy.Provisioner     = (*Exec)(nil)
	_ caddyfile.Unmarshaler = (*Exec)(nil)
)
