package healthcheck

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

func TestTCPCaddyfile(t *testing.T) {
	for name, test := range map[string]struct{ text, json string }{
		"name only":   {"tcp", `{}`},
		"empty block": {"tcp {\n}", `{}`},
		"expect": {`tcp {
			send "PING\r\n"
			expect +PONG
		}`, `{"send":"PING\\r\\n","expect":"+PONG"}`},
		"regexp": {"tcp {\n expect_regexp ^220\n}", `{"expect_regexp":"^220"}`},
		"tls": {`tcp {
			tls {
				ca a.pem b.pem
				client_auth c.pem c.key
				server_name up.example
				insecure_skip_verify
			}
			send x
		}`, `{"send":"x","tls":{"ca":["a.pem","b.pem"],"client_auth":{"cert":"c.pem","key":"c.key"},` +
			`"server_name":"up.example","insecure_skip_verify":true}}`},
		"tls as it is by default": {"tcp {\n tls\n expect x\n}", `{"expect":"x","tls":{}}`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := unmarshaled(t, new(TCP), test.text); got != test.json {
				t.Errorf("got  %s\nwant %s", got, test.json)
			}
		})
	}
}

func TestTCPCaddyfileErrors(t *testing.T) {
	for name, test := range map[string]struct{ text, message, line string }{
		"argument":         {"tcp 80", "tcp: unexpected argument '80'", "1"},
		"unknown option":   {"tcp {\n timeout 1s\n}", "unknown option 'timeout' for tcp", "2"},
		"duplicate option": {"tcp {\n send a\n send b\n}", "duplicate option 'send'", "3"},
		"no text":          {"tcp {\n send\n}", "send: missing argument", "2"},
		"empty text":       {"tcp {\n expect \"\"\n}", "expect: empty", "2"},
		"two texts":        {"tcp {\n send a b\n}", "send: unexpected argument 'b'", "2"},
		"bad escape":       {"tcp {\n send `a\\qb`\n}", `send: 'a\qb' has a bad escape at '\qb'`, "2"},
		"half an escape":   {"tcp {\n expect `a\\x4`\n}", `expect: 'a\x4' has a bad escape at '\x4'`, "2"},
		"too much":         {"tcp {\n expect " + strings.Repeat("x", 65537) + "\n}", "expect: 65537 bytes are more than the 65536 that are read", "2"},
		"bad regexp":       {"tcp {\n expect_regexp +\n}", "expect_regexp: error parsing regexp: missing argument to repetition operator: `+`", "2"},
		"both":             {"tcp {\n expect a\n\n expect_regexp b\n}", "expect and expect_regexp exclude each other", "4"},
		"tls twice":        {"tcp {\n tls\n tls\n}", "duplicate option 'tls'", "3"},
	} {
		t.Run(name, func(t *testing.T) {
			expectError(t, new(TCP), test.text, test.message, test.line)
		})
	}
}

func TestTCPProvisionErrors(t *testing.T) {
	for name, test := range map[string]struct {
		module  TCP
		message string
	}{
		"send":   {TCP{Send: `\`}, `send: '\' has a bad escape`},
		"expect": {TCP{Expect: `\z`}, `expect: '\z' has a bad escape`},
		"regexp": {TCP{ExpectRegexp: "("}, "expect_regexp: error parsing regexp"},
		"both":   {TCP{Expect: "a", ExpectRegexp: "b"}, "expect and expect_regexp exclude each other"},
		"tls":    {TCP{TLS: &TLS{CA: []string{"/nowhere/ca.pem"}}}, "tls: ca: open /nowhere/ca.pem: no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.module.Provision(caddyContext(t))
			if err == nil || !strings.HasPrefix(err.Error(), test.message) {
				t.Errorf("got %v, want %s", err, test.message)
			}
		})
	}
}

func TestTCPEscapes(t *testing.T) {
	for text, want := range map[string]string{
		``:                   "",
		`plain "text" 'é'`:   `plain "text" 'é'`,
		`\r\n\t\\`:           "\r\n\t\\",
		`\x00\xff\0`:         "\x00\xff\x00",
		`\0\0a`:              "\x00\x00a",
		`\012\08`:            "\n\x008",
		`\u00e9`:             "é",
		"two\nlines":         "two\nlines",
		`{"not":"escaped"}`:  `{"not":"escaped"}`,
		`ends in a slash\\`:  `ends in a slash\`,
		`\\x41 is no escape`: `\x41 is no escape`,
	} {
		got, err := unescape(text)
		if err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v, want %q", text, got, err, want)
		}
	}
}

// replying returns a connection's handler that reads a line and replies with
// the texts, each in a segment of its own, and closes the connection.
func replying(line string, texts ...string) func(net.Conn) {
	return func(conn net.Conn) {
		if got, _ := bufio.NewReader(conn).ReadString('\n'); got != line {
			io.WriteString(conn, "unexpected "+got)
			return
		}
		for _, text := range texts {
			io.WriteString(conn, text)
		}
	}
}

func TestTCPReasons(t *testing.T) {
	send := TCP{Send: `PING\r\n`}
	expecting := func(text string) TCP { return TCP{Send: send.Send, Expect: text} }
	matching := func(text string) TCP { return TCP{Send: send.Send, ExpectRegexp: text} }
	sixtyKiB := strings.Repeat("x", 60<<10)
	for name, test := range map[string]struct {
		checker TCP
		answer  func(net.Conn)
		reason  string
	}{
		"connects":             {TCP{}, untilClosed, "<nil>"},
		"sends":                {send, untilClosed, "<nil>"},
		"text":                 {expecting("+PONG"), replying("PING\r\n", "+PONG\r\n"), "<nil>"},
		"text in two parts":    {expecting("+PONG"), replying("PING\r\n", "+PO", "NG\r\n"), "<nil>"},
		"binary":               {expecting(`\0\xff`), replying("PING\r\n", "a\x00\xffb"), "<nil>"},
		"late text":            {expecting("PONG"), replying("PING\r\n", sixtyKiB, "PONG"), "<nil>"},
		"regexp":               {matching(`^\+P.NG`), replying("PING\r\n", "+", "PONG"), "<nil>"},
		"no match":             {expecting("+PONG"), replying("PING\r\n", "-ERR\r\n"), "closed the connection after 6 bytes without a match"},
		"no regexp match":      {matching("^PONG"), replying("PING\r\n", "+PONG"), "closed the connection after 5 bytes without a match"},
		"no answer":            {expecting("+PONG"), replying("PING\r\n"), "closed the connection after 0 bytes without a match"},
		"no answer to match":   {matching("x*"), replying("PING\r\n"), "closed the connection after 0 bytes without a match"},
		"greeting":             {TCP{Expect: "220 "}, saying("220 mail ESMTP\r\n"), "<nil>"},
		"no end":               {TCP{Expect: "y"}, func(conn net.Conn) { flood(conn, sixtyKiB) }, "no match in the first 64 KiB"},
		"TLS where there's no": {TCP{TLS: &TLS{}}, saying("220 mail ESMTP\r\n"), "tls: first record does not look like a TLS handshake"},
		"no TLS at all":        {TCP{TLS: &TLS{}}, saying(""), "connection closed by the upstream"},
	} {
		t.Run(name, func(t *testing.T) {
			verifyNoLeaks(t)
			err := checkSoon(t, provisioned(t, &test.checker), targetAt(t, serve(t, test.answer)))
			expectReason(t, err, test.reason)
		})
	}
}

// filling is a connection from which there is always as much to read as one
// wants.
type filling struct {
	net.Conn
	read int
}

func (f *filling) Read(p []byte) (int, error) {
	f.read += len(p)
	return len(p), nil
}

func TestTCPReadsNoMoreThanItLooksAt(t *testing.T) {
	conn := new(filling)
	expectReason(t, provisioned(t, &TCP{Expect: "x"}).await(conn), "no match in the first 64 KiB")
	if conn.read != maxReceived {
		t.Errorf("read %d bytes", conn.read)
	}
}

func TestTCPTimeouts(t *testing.T) {
	for name, checker := range map[string]*TCP{
		"no answer":    {Expect: "x"},
		"no handshake": {TLS: &TLS{}},
		"nobody reads": {Send: strings.Repeat("x", buffered), Expect: "x"},
	} {
		t.Run(name, func(t *testing.T) {
			verifyNoLeaks(t)
			release := make(chan struct{})
			address := serve(t, func(net.Conn) { <-release })
			checkBriefly(t, provisioned(t, checker), targetAt(t, address))
			close(release)
		})
	}
}

func TestTCPCancelled(t *testing.T) {
	verifyNoLeaks(t)
	ctx, cancel := context.WithCancel(t.Context())
	address := serve(t, func(conn net.Conn) {
		io.ReadFull(conn, make([]byte, 1)) // the probe is past connecting
		cancel()
		untilClosed(conn)
	})
	expectReason(t, provisioned(t, &TCP{Send: "?", Expect: "x"}).Check(ctx, targetAt(t, address)), "probe was cut off")
}

func TestTCPDialErrors(t *testing.T) {
	address := refused(t)
	expectReason(t, checkSoon(t, provisioned(t, new(TCP)), targetAt(t, address)), "dial tcp "+address+": connection refused")
	socket := filepath.Join(t.TempDir(), "s")
	expectReason(t, checkSoon(t, provisioned(t, new(TCP)), targetAt(t, "unix/"+socket)), "dial unix "+socket+": no such file or directory")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	accept(t, l, untilClosed)
	expectReason(t, checkSoon(t, provisioned(t, new(TCP)), targetAt(t, "unix/"+socket)), "<nil>")
}

func TestTCPOverTLS(t *testing.T) {
	ca := newAuthority(t)
	cert, key := ca.issue(t, "client")
	server := ca.server(t, "up.example")
	server.ClientAuth = tls.VerifyClientCertIfGiven
	address := serve(t, func(conn net.Conn) {
		over := tls.Server(conn, server)
		defer over.Close()
		if over.Handshake() != nil {
			return
		}
		state := over.ConnectionState()
		io.WriteString(over, "sni="+state.ServerName+";")
		for _, peer := range state.PeerCertificates {
			io.WriteString(over, "peer="+peer.DNSNames[0]+";")
		}
	})
	const mistrust = "tls: failed to verify certificate: x509: certificate signed by unknown authority"
	for name, test := range map[string]struct {
		checker TCP
		host    string
		reason  string
	}{
		"trusted":            {TCP{TLS: &TLS{CA: []string{ca.file}}}, "", "<nil>"},
		"not trusted":        {TCP{TLS: &TLS{}}, "", mistrust},
		"whoever it is":      {TCP{TLS: &TLS{InsecureSkipVerify: true}}, "", "<nil>"},
		"by the check's":     {TCP{TLS: &TLS{CA: []string{ca.file}}, Expect: "sni=up.example;"}, "up.example:443", "<nil>"},
		"by its own name":    {TCP{TLS: &TLS{CA: []string{ca.file}, ServerName: "up.example"}, Expect: "sni=up.example;"}, "other.example", "<nil>"},
		"by another name":    {TCP{TLS: &TLS{CA: []string{ca.file}}}, "other.example", "tls: failed to verify certificate: x509: certificate is valid for up.example, not other.example"},
		"with a certificate": {TCP{TLS: &TLS{CA: []string{ca.file}, ClientAuth: &ClientAuth{cert, key}}, Expect: "peer=client;"}, "", "<nil>"},
	} {
		t.Run(name, func(t *testing.T) {
			target := targetAt(t, address)
			target.Host = test.host
			expectReason(t, checkSoon(t, provisioned(t, &test.checker), target), test.reason)
		})
	}
}

// A checker serves many upstreams, each with a name of its own.
func TestTCPServerNames(t *testing.T) {
	ca := newAuthority(t)
	address := serve(t, afterHandshake(ca.server(t, "up.example")))
	checker := provisioned(t, &TCP{TLS: &TLS{CA: []string{ca.file}}})
	target := targetAt(t, address)
	for _, name := range []string{"up.example", "other.example", "up.example"} {
		target.Host = name
		if err := checkSoon(t, checker, target); (err == nil) != (name == "up.example") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
