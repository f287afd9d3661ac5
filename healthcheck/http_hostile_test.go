package healthcheck

import (
	"bufio"
	"compress/gzip"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/fcgi"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy/fastcgi"
)

// afterRequest returns the handler of a connection that calls answer once a
// request has come.
func afterRequest(answer func(net.Conn)) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			answer(conn)
		}
	}
}

// flood sends the text until the connection breaks, and returns how many bytes
// went out.
func flood(conn net.Conn, text string) (sent int64) {
	for {
		n, err := io.WriteString(conn, text)
		sent += int64(n)
		if err != nil {
			return sent
		}
	}
}

// What is sent beyond what a probe reads is in the buffers of both ends.
const buffered = 16 << 20

func TestHTTPHostileAnswers(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	line := strings.Repeat("x", 1000)
	for name, test := range map[string]struct {
		begin, flood string // the flood goes on for ever
		reason       string
	}{
		"10 GB":             {ok + "Content-Length: 10000000000\r\n\r\n", line, "response body exceeds max_body of 1.0 MiB"},
		"no end":            {ok + "\r\n", line, "response body exceeds max_body of 1.0 MiB"},
		"no end of chunks":  {ok + "Transfer-Encoding: chunked\r\n\r\n", "3e8\r\n" + line + "\r\n", "response body exceeds max_body of 1.0 MiB"},
		"1xx":               {"", "HTTP/1.1 103 Early Hints\r\nLink: </" + line + ">\r\n\r\n", "server response headers exceeded 10485760 bytes; aborted"},
		"header":            {ok, "X: " + line + "\r\n", "server response headers exceeded 10485760 bytes; aborted"},
		"status line":       {"HTTP/1.1 200 ", line, "server response headers exceeded 10485760 bytes; aborted"},
		"another status":    {"HTTP/1.1 503 No\r\nContent-Length: 10000000000\r\n\r\n", line, "status 503, expected 200-299"},
		"another language":  {"220 mail.example ESMTP\r\n", "", `malformed HTTP status code "mail.example"`},
		"control bytes":     {"\x1b[2J\r\n\r\n", "", `malformed HTTP response "\x1b[2J"`},
		"long line":         {strings.Repeat("y", 5000) + "\r\n", "", `malformed HTTP response "` + strings.Repeat("y", maxReason-len(`malformed HTTP response "…`)+2) + "…"},
		"closed at once":    {"", "", "connection closed by the upstream"},
		"closed in body":    {ok + "Content-Length: 9\r\n\r\nabc", "", "connection closed by the upstream"},
		"switched protocol": {"HTTP/1.1 101 Switching Protocols\r\n\r\n", line, "status 101, expected 200-299"},
	} {
		t.Run(name, func(t *testing.T) {
			verifyNoLeaks(t)
			sent := make(chan int64, 1)
			address := serve(t, afterRequest(func(conn net.Conn) {
				io.WriteString(conn, test.begin)
				if test.flood == "" {
					sent <- 0
					return
				}
				sent <- flood(conn, test.flood)
			}))
			expectReason(t, checkSoon(t, provisioned(t, new(HTTP)), targetAt(t, address)), test.reason)
			if n := <-sent; n > 10<<20+buffered {
				t.Errorf("the probe let the upstream send %d bytes", n)
			}
		})
	}
}

func TestHTTPGzipBomb(t *testing.T) {
	address := serve(t, afterRequest(func(conn net.Conn) {
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n")
		bomb := gzip.NewWriter(conn)
		zeros := make([]byte, 1<<20)
		for {
			if _, err := bomb.Write(zeros); err != nil {
				return
			}
		}
	}))
	err := checkSoon(t, provisioned(t, &HTTP{ExpectBody: "x"}), targetAt(t, address))
	expectReason(t, err, "response body exceeds max_body of 1.0 MiB")
}

// Whatever an upstream holds back, the probe ends with its time.
func TestHTTPHungUpstreams(t *testing.T) {
	for name, test := range map[string]struct{ begin, drip string }{
		"silence":            {"", ""},
		"no header end":      {"HTTP/1.1 200 OK\r\nX: y\r\n", ""},
		"no body":            {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", ""},
		"no end of body":     {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", ""},
		"redirect with body": {"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			verifyNoLeaks(t)
			address := serve(t, afterRequest(func(conn net.Conn) {
				io.WriteString(conn, test.begin)
				untilClosed(conn)
			}))
			checkBriefly(t, provisioned(t, &HTTP{FollowRedirects: true}), targetAt(t, address))
		})
	}
}

// What follows another protocol's beginning is not a body.
func TestHTTPSwitchedProtocol(t *testing.T) {
	verifyNoLeaks(t)
	address := serve(t, afterRequest(func(conn net.Conn) {
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n")
		untilClosed(conn)
	}))
	checker := &HTTP{ExpectStatus: []string{"101"}, Header: map[string]string{"Connection": "Upgrade", "Upgrade": "chat"}, ExpectBody: "^$"}
	expectReason(t, checkSoon(t, provisioned(t, checker), targetAt(t, address)), "<nil>")
}

func TestHTTPCancelled(t *testing.T) {
	verifyNoLeaks(t)
	asked := make(chan struct{})
	address := serve(t, afterRequest(func(conn net.Conn) {
		close(asked)
		untilClosed(conn)
	}))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	expectReason(t, provisioned(t, new(HTTP)).Check(ctx, targetAt(t, address)), "probe was cut off")
}

func TestHTTPDialErrors(t *testing.T) {
	address := refused(t)
	expectReason(t, checkSoon(t, provisioned(t, new(HTTP)), targetAt(t, address)), "dial tcp "+address+": connection refused")
	expectReason(t, checkSoon(t, provisioned(t, &HTTP{FollowRedirects: true}), targetAt(t, address)), "dial tcp "+address+": connection refused")
	expectReason(t, checkSoon(t, provisioned(t, new(HTTP)), targetAt(t, "unix//nowhere/s")), "dial unix /nowhere/s: no such file or directory")
}

// fastCGITarget returns a target for FastCGI at the address.
func fastCGITarget(t *testing.T, address, host string) Target {
	t.Helper()
	return targetOver(t, address, host, provisioned(t, &fastcgi.Transport{Root: "/srv", SplitPath: []string{".php"}}))
}

func TestHTTPFastCGI(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/ping", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		env := fcgi.ProcessEnv(r)
		io.WriteString(w, strings.Join([]string{r.Method, r.URL.RequestURI(), r.Host, env["SCRIPT_FILENAME"], string(body)}, " "))
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/ping?again", http.StatusFound) })
	mux.HandleFunc("/down", answering(500, "no"))
	go fcgi.Serve(l, mux)
	target := fastCGITarget(t, l.Addr().String(), "app.example")
	for name, test := range map[string]struct {
		checker HTTP
		reason  string
	}{
		"passes":          {HTTP{URI: "/ping?x", ExpectBody: `^GET /ping\?x app\.example /srv/ping $`}, "<nil>"},
		"sends a body":    {HTTP{URI: "/ping", Method: "POST", Body: "hello", ExpectBody: "^POST .* hello$"}, "<nil>"},
		"follows":         {HTTP{URI: "/moved", FollowRedirects: true, ExpectBody: `^GET /ping\?again `}, "<nil>"},
		"fails":           {HTTP{URI: "/down"}, "status 500, expected 200-299"},
		"has its own way": {HTTP{URI: "/ping", Header: map[string]string{"Host": "b.example"}, ExpectBody: " b.example "}, "<nil>"},
	} {
		t.Run(name, func(t *testing.T) {
			expectReason(t, checkSoon(t, provisioned(t, &test.checker), target), test.reason)
		})
	}
}

// Caddy's FastCGI transport does not heed the context.
func TestHTTPFastCGIHungUpstreams(t *testing.T) {
	verifyNoLeaks(t)
	checkBriefly(t, provisioned(t, new(HTTP)), fastCGITarget(t, serve(t, untilClosed), ""))
	address := refused(t)
	expectReason(t, checkSoon(t, provisioned(t, new(HTTP)), fastCGITarget(t, address, "")), "dial tcp "+address+": connection refused")
}
