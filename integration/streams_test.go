package integration

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"
)

func TestUpgradesAreAsWithoutThePlugin(t *testing.T) {
	b := start(t, "a")
	b.setHealth(ok)
	b.set(func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+r.Header.Get("Upgrade")+"\r\n\r\n")
		io.Copy(conn, rw)
	})
	compare(t, b.addr, "", "101 Switching Protocols\nUpgrade: echo\nabc\ndef", func(t *testing.T, p *proxy, prefix string) string {
		conn, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprintf(conn, "GET %s/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n", prefix)
		r := bufio.NewReader(conn)
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			return err.Error()
		}
		got := res.Status[len("101 "):]
		got = fmt.Sprint(res.StatusCode, " ", got, "\nUpgrade: ", res.Header.Get("Upgrade"), "\n")
		for _, line := range []string{"abc\n", "def\n"} {
			io.WriteString(conn, line)
			echo, err := r.ReadString('\n')
			if err != nil {
				return got + err.Error()
			}
			got += echo
		}
		return got
	})
}

func TestChunksArriveAsTheyAreSent(t *testing.T) {
	b := start(t, "a")
	b.setHealth(ok)
	for name, c := range map[string]struct{ contentType, directives string }{
		"events":         {"text/event-stream", ""},
		"flush_interval": {"text/plain", "flush_interval -1"},
	} {
		t.Run(name, func(t *testing.T) {
			next := make(chan struct{})
			b.set(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", c.contentType)
				io.WriteString(w, "data: one\n")
				http.NewResponseController(w).Flush()
				select {
				case <-next:
					io.WriteString(w, "data: two\n")
				case <-r.Context().Done():
				}
			})
			compare(t, b.addr, c.directives, "one then two", func(t *testing.T, p *proxy, prefix string) string {
				res, err := p.client.Get(p.url + prefix + "/")
				if err != nil {
					return err.Error()
				}
				defer res.Body.Close()
				r := bufio.NewReader(res.Body)
				first := make(chan string, 1)
				go func() {
					line, _ := r.ReadString('\n')
					first <- line
				}()
				select {
				case line := <-first:
					next <- struct{}{}
					rest, err := io.ReadAll(r)
					got := fmt.Sprint(line, " then ", string(rest), err)
					return strings.NewReplacer("data: ", "", "\n", "").Replace(got)
				case <-time.After(5 * time.Second):
					return "the first chunk did not come before the second was sent"
				}
			})
		})
	}
}

func TestTrailersAreAsWithoutThePlugin(t *testing.T) {
	b := start(t, "a")
	b.setHealth(ok)
	b.set(trailing)
	exchange := func(t *testing.T, p *proxy, prefix string) string {
		req, err := http.NewRequest("POST", p.url+prefix+"/", io.MultiReader(strings.NewReader("some "), strings.NewReader("text")))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Te", "trailers")
		req.Trailer = http.Header{"X-Sum": {"42"}}
		return describe(p.client.Do(req))
	}
	compare(t, b.addr, "", "asked trailer X-Sum: 42", exchange)
	compare(t, b.addr, "", "trailer Grpc-Status: 0\ntrailer X-Unannounced: yes", exchange)
}

func TestEarlyHintsAreAsWithoutThePlugin(t *testing.T) {
	b := start(t, "a")
	b.setHealth(ok)
	b.set(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		ok(w, r)
	})
	compare(t, b.addr, "", "hint 103 map[Link:[</style.css>; rel=preload]", func(t *testing.T, p *proxy, prefix string) string {
		req, err := http.NewRequest("GET", p.url+prefix+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		req = req.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
				got += fmt.Sprintf("hint %d %v\n", code, header)
				return nil
			},
		}))
		return got + describe(p.client.Do(req))
	})
}

func TestExpectContinueIsAsWithoutThePlugin(t *testing.T) {
	b := start(t, "a")
	b.setHealth(ok)
	b.set(mirror)
	compare(t, b.addr, "", "text", method("PUT", "/", "text", "Expect", "100-continue"))
}
