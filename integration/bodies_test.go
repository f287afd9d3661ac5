package integration

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// stream is a body of unknown length.
type stream struct{ io.Reader }

// takesSome reads the beginning of a request's body and drops the connection.
func takesSome(w http.ResponseWriter, r *http.Request) {
	_, _ = io.ReadFull(r.Body, make([]byte, 1<<10))
	drop(w, r)
}

// echo answers with the request's body.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	_, _ = w.Write(body)
}

// A body that an upstream has begun to read is sent to no other, unless all of it
// was buffered: what is left of it is not what the client has sent.
func TestBodyThatWasBegunIsNotSentAgain(t *testing.T) {
	body := strings.Repeat("text of the client's own ", 4<<10) // 100 kB
	for name, test := range map[string]struct {
		buffers string
		method  string
		again   bool
	}{
		"POST, not buffered":      {"", http.MethodPost, false},
		"GET, not buffered":       {"", http.MethodGet, false},
		"POST, buffered in part":  {"request_buffers 4KB", http.MethodPost, false},
		"GET, buffered in part":   {"request_buffers 4KB", http.MethodGet, false},
		"POST, buffered as whole": {"request_buffers 1MB", http.MethodPost, true},
		"GET, buffered as whole":  {"request_buffers 1MB", http.MethodGet, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := backends(t, "a", "b")
			b[0].set(takesSome)
			b[1].set(echo)
			// With this much time, a request that is not over would not end.
			p := run(t, policy(addrs(b...), "managed first", "outlier_detection off", test.buffers, "lb_try_duration 1h", "lb_try_interval 10ms",
				"lb_retry_match {\n method GET POST\n}"))
			for n := range int64(20) {
				a := p.do(test.method, "/", body)
				switch {
				case test.again && (a.status != http.StatusOK || a.body != body):
					t.Fatalf("request %d: %.100v", n+1, a)
				case !test.again && (a.status != http.StatusBadGateway || b[1].requests.Load() > 0):
					t.Fatalf("request %d: %.100v, and b got %d", n+1, a, b[1].requests.Load())
				}
			}
		})
	}
}

// A body that turns out to be empty is as good as none.
func TestEmptyBodyOfUnknownLengthIsSentAgain(t *testing.T) {
	b := backends(t, "a", "b")
	b[0].set(drop)
	p := run(t, policy(addrs(b...), "managed first", "outlier_detection off", "lb_retry_match {\n method POST\n}"))
	for range 5 {
		r, err := http.NewRequest(http.MethodPost, p.url, stream{strings.NewReader("")})
		if err != nil {
			t.Fatal(err)
		}
		res, err := p.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Fatalf("status %d", res.StatusCode)
		}
	}
}
