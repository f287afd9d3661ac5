package integration

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// socket is a connection that was upgraded.
type socket struct {
	net.Conn
	lines   *bufio.Reader
	from    string
	cookies []string
}

// connect upgrades a connection, within the session of the cookie; another one
// where it was lost, as happens when a reload passes the listener on.
func (p *proxy) connect(cookie string) *socket {
	p.t.Helper()
	s, err := p.tryConnect(cookie)
	if err != nil {
		s, err = p.tryConnect(cookie)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

func (p *proxy) tryConnect(cookie string) (*socket, error) {
	conn, err := net.Dial("tcp", p.addr)
	if err != nil {
		return nil, err
	}
	p.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\nCookie: %s\r\n\r\n", cookie)
	lines := bufio.NewReader(conn)
	res, err := http.ReadResponse(lines, nil)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		return nil, fmt.Errorf("no upgrade: %s", res.Status)
	}
	return &socket{conn, lines, res.Header.Get(nameHeader), res.Header.Values("Set-Cookie")}, nil
}

// echo returns what comes back.
func (s *socket) echo(text string) string {
	fmt.Fprintln(s, text)
	line, err := s.lines.ReadString('\n')
	if err != nil {
		return err.Error()
	}
	return strings.TrimSuffix(line, "\n")
}

// upgrade answers with the backend's name, and then with what is sent.
func upgrade(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") == "" {
		ok(w, r)
		return
	}
	name := w.Header().Get(nameHeader)
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n%s: %s\r\n\r\n", nameHeader, name)
	io.Copy(conn, rw)
}

func TestSocketsStayOverDraining(t *testing.T) {
	b, agents, port := startAgents(t, "a", "b", "c")
	setAll(b, upgrade)
	site := func(options string) string {
		return policy(addrs(b...), "sticky", "secret a-secret-of-some-length\n"+options+"\n"+
			"health_check agent "+port+" {\n interval 50ms\n timeout 5s\n}", "stream_close_delay 1m")
	}
	p := run(t, site(""))
	first := p.connect("")
	if len(first.cookies) != 1 {
		t.Fatalf("a session begins with %q", first.cookies)
	}
	cookie, _, _ := strings.Cut(first.cookies[0], ";")
	home := b[strings.Index("abc", first.from)]
	expect := func(when string) {
		t.Helper()
		if got := first.echo(when); got != when {
			t.Errorf("%s: the one that is open says %q", when, got)
		}
		next := p.connect(cookie)
		if next.from != home.name || len(next.cookies) != 0 {
			t.Errorf("%s: the next one is with %s, %q", when, next.from, next.cookies)
		}
		if got := next.echo(when); got != when {
			t.Errorf("%s: the next one says %q", when, got)
		}
		if a := p.get("/", "Cookie", cookie); a.from() != home.name {
			t.Errorf("%s: a request: %v", when, a)
		}
	}
	expect("undisturbed")
	agents[strings.Index("abc", home.name)].say("drain")
	logs.first(t, 5*time.Second, "upstream has changed its orders", "upstream", home.addr, "to", "drain")
	expect("drained by its agent")
	p.reload(site("weight 0 " + home.addr))
	expect("with weight 0")
	for range 20 {
		if a := p.get("/"); a.from() == home.name {
			t.Fatalf("new, and drained: %v", a)
		}
	}

	home.stop() // which leaves what was hijacked alone
	next := p.connect(cookie)
	if next.from == home.name || len(next.cookies) != 1 {
		t.Errorf("%s is dead: %s, %q", home.name, next.from, next.cookies)
	}
	if got := next.echo("moved"); got != "moved" {
		t.Errorf("the one that has moved says %q", got)
	}
}
