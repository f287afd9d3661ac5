package healthcheck

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
)

func init() { caddy.RegisterModule(new(Agent)) }

// maxLine is the greatest length of an agent's line, in bytes.
const maxLine = 4 << 10

// Agent is the checker `agent`. It asks a helper on the upstream's host, which
// speaks HAProxy's agent protocol: it sends one line of words, split by spaces,
// tabs or commas, in any order and case. Of several of a kind, the last counts.
//
// Word | Meaning
// -----|--------
// `up` | The upstream is healthy, at once
// `down`, `fail`, `stopped` | It is unhealthy, at once. A text after `#` is the reason
// `ready` | It takes traffic: the end of `drain` and `maint`
// `drain` | It takes no new traffic, but that of its sessions
// `maint` | It takes no traffic at all
// `75%`, `weight:75%` | Its weight, in percent of the configured one: 0 to 25600
// `weight:30` | Its weight, in place of the configured one: 0 to 256
// `maxconn:30` | How many requests it takes at once; 0 for any number
//
// What a line leaves out stays as it was, and so does everything while the
// agent cannot be reached or says nothing. The options `passes` and `fails` have
// no effect.
type Agent struct {
	// Port of the agent, on the upstream's host; on localhost where the
	// upstream is a Unix socket.
	Port int `json:"port,omitempty"`

	// Text to send once connected. Escapes as in Go strings stand for what
	// cannot be written: \r \n \t \\ \0 \x1f. Default: nothing.
	Send string `json:"send,omitempty"`

	send []byte
}

// CaddyModule returns the Caddy module information.
func (*Agent) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  Namespace + ".agent",
		New: func() caddy.Module { return new(Agent) },
	}
}

// Provision checks the port and compiles the text to send.
func (c *Agent) Provision(caddy.Context) error {
	if !validPort(c.Port) {
		return fmt.Errorf("port: %d is not between 1 and 65535", c.Port)
	}
	return c.compile()
}

func validPort(port int) bool { return 1 <= port && port <= maxPort }

// compile resolves the escapes of the text to send.
func (c *Agent) compile() (err error) {
	if c.send, err = unescape(c.Send); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// OwnPort implements [PortOwner].
func (c *Agent) OwnPort() int { return c.Port }

// Check implements [Checker].
func (c *Agent) Check(ctx context.Context, t Target) error {
	_, err := c.Report(ctx, t)
	return err
}

// Report implements [Reporter].
func (c *Agent) Report(ctx context.Context, t Target) (Report, error) {
	ctx = withBudget(ctx)
	line, err := c.ask(ctx, t)
	if err != nil {
		return Report{Force: Abstains}, reason(ctx, err)
	}
	return parseLine(line)
}

// ask returns the agent's line.
func (c *Agent) ask(ctx context.Context, t Target) (line string, err error) {
	// A PROXY header is for the application: agents do not expect one.
	if p, ok := t.Transport.(reverseproxy.ProxyProtocolTransport); ok && p.ProxyProtocolEnabled() {
		t.Transport = nil
	}
	conn, release, err := open(ctx, t, nil)
	if err != nil {
		return "", err
	}
	defer release()
	if len(c.send) > 0 {
		if _, err := conn.Write(c.send); err != nil {
			return "", err
		}
	}
	return readLine(conn)
}

// readLine reads to the first CR or LF, or to the end.
func readLine(conn io.Reader) (string, error) {
	received := make([]byte, 0, 128) // as much as most ever need
	for len(received) < maxLine {
		if len(received) == cap(received) {
			received = append(make([]byte, 0, min(8*cap(received), maxLine)), received...)
		}
		n, err := conn.Read(received[len(received):cap(received)])
		received = received[:len(received)+n]
		if end := bytes.IndexAny(received, "\r\n"); end >= 0 {
			return string(received[:end]), nil
		}
		if errors.Is(err, io.EOF) {
			return string(received), nil
		}
		if err != nil {
			return "", err
		}
	}
	return "", failf("no line ends in the first %d KiB", maxLine>>10)
}

func init() { cfg.Options("agent", "health_check", "send") }

// UnmarshalCaddyfile sets up c from Caddyfile tokens. Syntax:
//
//	agent <port> {
//		send <text>
//	}
func (c *Agent) UnmarshalCaddyfile(d *caddyfile.Dispenser) (err error) {
	d.Next() // consume the checker's name
	if !d.NextArg() {
		return d.Err("agent: missing port")
	}
	if c.Port, err = strconv.Atoi(d.Val()); err != nil {
		return d.WrapErr(cfg.NotAnInteger("agent: port", d.Val()))
	}
	if !validPort(c.Port) {
		return d.Errf("agent: port %d is not between 1 and 65535", c.Port)
	}
	if d.NextArg() {
		return d.Errf("agent: unexpected argument '%s'", d.Val())
	}
	seen := make(cfg.Seen)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := seen.Once(d); err != nil {
			return err
		}
		switch d.Val() {
		case "send":
			c.Send, err = nonEmpty(d)
		default:
			err = cfg.Unknown(d, "agent")
		}
		if err != nil {
			return err
		}
		if err := c.compile(); err != nil {
			return d.WrapErr(err)
		}
	}
	return nil
}

// Interface guards
var (
	_ Reporter              = (*Agent)(nil)
	_ PortOwner             = (*Agent)(nil)
	_ caddy.Provisioner     = (*Agent)(nil)
	_ caddyfile.Unmarshaler = (*Agent)(nil)
)
