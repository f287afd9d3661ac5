package healthcheck

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
)

func init() { caddy.RegisterModule(new(TCP)) }

// maxReceived is how much a TCP probe reads of what an upstream sends, in bytes.
const maxReceived = 64 << 10

// TCP is the checker `tcp`. A target passes when it accepts a connection and,
// if something is expected, sends that.
type TCP struct {
	// Text to send once connected. Escapes as in Go strings stand for what
	// cannot be written: \r \n \t \\ \0 \x1f. Default: nothing.
	Send string `json:"send,omitempty"`

	// Text that must occur in what the upstream sends, within the first
	// 64 KiB. Escapes as in send. Default: nothing is waited for.
	Expect string `json:"expect,omitempty"`

	// Regular expression that must match what the upstream has sent so far,
	// at any moment within the first 64 KiB. Not together with expect.
	ExpectRegexp string `json:"expect_regexp,omitempty"`

	// Encrypts the connection. Default: plain TCP, whatever the transport of
	// the handler's requests does.
	TLS *TLS `json:"tls,omitempty"`

	send    []byte
	matches func(received []byte) bool // nil if nothing is expected
	config  *tls.Config
}

// CaddyModule returns the Caddy module information.
func (*TCP) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  Namespace + ".tcp",
		New: func() caddy.Module { return new(TCP) },
	}
}

// Provision compiles the options, and reads the files of tls.
func (c *TCP) Provision(caddy.Context) (err error) {
	if err := c.compile(); err != nil {
		return err
	}
	if c.TLS != nil {
		c.config, err = c.TLS.Config()
	}
	return err
}

// compile compiles the options. Its errors name option and value.
func (c *TCP) compile() (err error) {
	if c.send, err = unescape(c.Send); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	if c.Expect != "" && c.ExpectRegexp != "" {
		return errors.New("expect and expect_regexp exclude each other")
	}
	c.matches = nil
	if c.Expect != "" {
		text, err := unescape(c.Expect)
		if err != nil {
			return fmt.Errorf("expect: %w", err)
		}
		if len(text) > maxReceived {
			return fmt.Errorf("expect: %d bytes are more than the %d that are read", len(text), maxReceived)
		}
		c.matches = func(received []byte) bool { return bytes.Contains(received, text) }
	}
	if c.ExpectRegexp != "" {
		re, err := regexp.Compile(c.ExpectRegexp)
		if err != nil {
			return fmt.Errorf("expect_regexp: %w", err)
		}
		c.matches = re.Match
	}
	return nil
}

// Check implements [Checker].
func (c *TCP) Check(ctx context.Context, t Target) error {
	ctx = withBudget(ctx)
	conn, release, err := open(ctx, t, named(c.config, t))
	if err != nil {
		return reason(ctx, err)
	}
	defer release()
	if len(c.send) > 0 {
		if _, err := conn.Write(c.send); err != nil {
			return reason(ctx, err)
		}
	}
	if c.matches == nil {
		return nil
	}
	if err := c.await(conn); err != nil {
		return reason(ctx, err)
	}
	return nil
}

// await reads until what was received matches.
func (c *TCP) await(conn net.Conn) error {
	received := make([]byte, 0, 512) // as much as most ever need
	for len(received) < maxReceived {
		if len(received) == cap(received) {
			received = append(make([]byte, 0, min(8*cap(received), maxReceived)), received...)
		}
		n, err := conn.Read(received[len(received):cap(received)])
		received = received[:len(received)+n]
		if n > 0 && c.matches(received) {
			return nil
		}
		if errors.Is(err, io.EOF) {
			return failf("closed the connection after %d bytes without a match", len(received))
		}
		if err != nil {
			return err
		}
	}
	return failf("no match in the first %d KiB", maxReceived>>10)
}

func init() { cfg.Options("tcp", "health_check", "send", "expect", "expect_regexp", "tls") }

// UnmarshalCaddyfile sets up c from Caddyfile tokens. Syntax:
//
//	tcp {
//		send          <text>
//		expect        <text>
//		expect_regexp <regexp>
//		tls { ... }
//	}
func (c *TCP) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the checker's name
	if err := cfg.NoArgs(d); err != nil {
		return err
	}
	seen := make(cfg.Seen)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := seen.Once(d); err != nil {
			return err
		}
		var err error
		switch d.Val() {
		case "send":
			c.Send, err = nonEmpty(d)
		case "expect":
			c.Expect, err = nonEmpty(d)
		case "expect_regexp":
			c.ExpectRegexp, err = nonEmpty(d)
		case "tls":
			c.TLS, err = unmarshalTLS(d)
		default:
			err = cfg.Unknown(d, "tcp")
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
	_ Checker               = (*TCP)(nil)
	_ caddy.Provisioner     = (*TCP)(nil)
	_ caddyfile.Unmarshaler = (*TCP)(nil)
)
