package healthcheck

import (
	"bufio"
	"context"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

func TestAgentCaddyfile(t *testing.T) {
	for name, test := range map[string]struct{ text, json string }{
		"port only":   {"agent 5555", `{"port":5555}`},
		"empty block": {"agent 5555 {\n}", `{"port":5555}`},
		"send":        {"agent 5555 {\n send `web\\n`\n}", `{"port":5555,"send":"web\\n"}`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := unmarshaled(t, new(Agent), test.text); got != test.json {
				t.Errorf("got  %s\nwant %s", got, test.json)
			}
		})
	}
}

func TestAgentCaddyfileErrors(t *testing.T) {
	for name, test := range map[string]struct{ text, message, line string }{
		"no port":          {"agent", "agent: missing port", "1"},
		"no port in block": {"agent {\n send x\n}", "agent: missing port", "1"},
		"word":             {"agent http", "agent: port: 'http' is not an integer", "1"},
		"zero":             {"agent 0", "agent: port 0 is not between 1 and 65535", "1"},
		"too large":        {"agent 65536", "agent: port 65536 is not between 1 and 65535", "1"},
		"two ports":        {"agent 1 2", "agent: unexpected argument '2'", "1"},
		"unknown option":   {"agent 1 {\n expect up\n}", "unknown option 'expect' for agent", "2"},
		"duplicate option": {"agent 1 {\n send a\n send b\n}", "duplicate option 'send'", "3"},
		"no text":          {"agent 1 {\n send\n}", "send: missing argument", "2"},
		"empty text":       {"agent 1 {\n send \"\"\n}", "send: empty", "2"},
		"bad escape":       {"agent 1 {\n send `a\\q`\n}", `send: 'a\q' has a bad escape at '\q'`, "2"},
	} {
		t.Run(name, func(t *testing.T) {
			expectError(t, new(Agent), test.text, test.message, test.line)
		})
	}
}

func TestAgentProvisionErrors(t *testing.T) {
	for message, c := range map[string]*Agent{
		"port: 0 is not between 1 and 65535":     {},
		"port: -1 is not between 1 and 65535":    {Port: -1},
		"port: 65536 is not between 1 and 65535": {Port: 65536},
		`send: '\' has a bad escape at '\'`:      {Port: 1, Send: `\`},
	} {
		if err := c.Provision(caddyContext(t)); err == nil || err.Error() != message {
			t.Errorf("got  %v\nwant %s", err, message)
		}
	}
}

// agentAt returns the checker and its target, for an agent at the address.
func agentAt(t *testing.T, address, send string) (*Agent, Target) {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	n, _ := strconv.Atoi(port)
	return provisioned(t, &Agent{Port: n, Send: send}), targetAt(t, address)
}

func TestAgentAnswers(t *testing.T) {
	const nothing = "agent says nothing that it could"
	for name, test := range map[string]struct {
		answer func(net.Conn)
		force  Force
		reason string
	}{
		"line":          {saying("up\n"), Decides, "<nil>"},
		"CR":            {saying("up\rdown"), Decides, "<nil>"},
		"CR LF":         {saying("up\r\ndown\r\n"), Decides, "<nil>"},
		"no newline":    {saying("up"), Decides, "<nil>"},
		"stays":         {func(conn net.Conn) { io.WriteString(conn, "up\n"); untilClosed(conn) }, Decides, "<nil>"},
		"neutral":       {saying("50%\n"), Abstains, "<nil>"},
		"nothing":       {saying(""), Abstains, nothing},
		"empty line":    {saying("\nup\n"), Abstains, nothing},
		"garbage":       {saying("\x00\xff\x80\x1b[2J\n"), Abstains, nothing},
		"longest line":  {saying("up" + strings.Repeat(" ", maxLine-3) + "\n"), Decides, "<nil>"},
		"too long":      {saying("up" + strings.Repeat(" ", maxLine-2) + "\n"), Abstains, "no line ends in the first 4 KiB"},
		"no end":        {func(conn net.Conn) { flood(conn, strings.Repeat("up ", 400_000)) }, Abstains, "no line ends in the first 4 KiB"},
		"hangs up":      {func(conn net.Conn) { conn.(*net.TCPConn).SetLinger(0) }, Abstains, "reset by peer"},
		"half and away": {cutOff("up"), Abstains, "reset by peer"},
	} {
		t.Run(name, func(t *testing.T) {
			verifyNoLeaks(t)
			c, target := agentAt(t, serve(t, test.answer), "")
			report, err := c.Report(t.Context(), target)
			if report.Force != test.force {
				t.Errorf("force %v, want %v", report.Force, test.force)
			}
			if test.reason == "reset by peer" {
				if err == nil || !strings.HasSuffix(err.Error(), test.reason) {
					t.Errorf("got %v, want %s", err, test.reason)
				}
				return
			}
			expectReason(t, err, test.reason)
		})
	}
}

// cutOff returns the handler of a connection that is reset once the other end
// has had the text.
func cutOff(text string) func(net.Conn) {
	return func(conn net.Conn) {
		io.WriteString(conn, text)
		conn.(*net.TCPConn).SetLinger(0)
	}
}

func TestAgentIsSentATextFirst(t *testing.T) {
	c, target := agentAt(t, serve(t, replying("web 1\n", "up\n")), `web\x201\n`)
	report, err := c.Report(t.Context(), target)
	expectReason(t, err, "<nil>")
	if report.Force != Decides {
		t.Errorf("%+v", report)
	}
}

func TestAgentThatCannotBeAsked(t *testing.T) {
	address := refused(t)
	c, target := agentAt(t, address, "")
	report, err := c.Report(t.Context(), target)
	expectReason(t, err, "dial tcp "+address+": connection refused")
	if report.Force != Abstains || report.Order != (Order{}) {
		t.Errorf("%+v", report)
	}
}

func TestAgentTimeouts(t *testing.T) {
	for name, answer := range map[string]func(net.Conn){
		"silent": untilClosed,
		"half a line": func(conn net.Conn) {
			io.WriteString(conn, "up")
			untilClosed(conn)
		},
	} {
		t.Run(name, func(t *testing.T) {
			verifyNoLeaks(t)
			c, target := agentAt(t, serve(t, answer), "")
			checkBriefly(t, c, target)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			report, err := c.Report(ctx, target)
			expectReason(t, err, "probe was cut off")
			if report.Force != Abstains {
				t.Errorf("%+v", report)
			}
		})
	}
}

// A transport's PROXY header would be garbage to an agent.
func TestAgentGetsNoProxyHeader(t *testing.T) {
	address := serve(t, func(conn net.Conn) {
		line, _ := bufio.NewReader(conn).ReadString('\n')
		io.WriteString(conn, "down #"+line)
	})
	c, _ := agentAt(t, address, `hello\n`)
	over := handlerTransport(t, &reverseproxy.HTTPTransport{ProxyProtocol: "v1"})
	_, err := c.Report(t.Context(), targetOver(t, address, "", over))
	expectReason(t, err, "agent says down: hello")
}

func TestAgentHasAPortOfItsOwn(t *testing.T) {
	ctx := configContext(t, `{}`)
	check := Check{CheckerRaw: []byte(`{"type":"agent","port":5555}`)}
	if err := check.Provision(ctx, nil, newGroup(t, ctx)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { check.Close() })
	for upstream, want := range map[string]string{
		"10.0.0.1:80":      "tcp/10.0.0.1:5555",
		"[2001:db8::1]:80": "tcp/[2001:db8::1]:5555",
		"unix//run/a.sock": "tcp/localhost:5555",
	} {
		target, err := check.target(upstream)
		if err != nil || target.Dial.String() != want || target.Upstream != upstream {
			t.Errorf("%s: %+v, %v", upstream, target, err)
		}
	}
	both := Check{CheckerRaw: []byte(`{"type":"agent","port":5555}`), Port: 80}
	err := both.Provision(ctx, nil, newGroup(t, ctx))
	both.Close()
	expectReason(t, err, "health_check: port: agent has a port of its own")
}
