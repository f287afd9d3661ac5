package admin

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-evenkeel/evenkeel/pool"
)

// listen begins a stream of events, on a server as Caddy's admin API has it, but with
// less patience.
func listen(t *testing.T, after string) (lines *bufio.Scanner, server *httptest.Server) {
	t.Helper()
	server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := serve(w, r); err != nil {
			t.Error(err)
		}
	}))
	server.Config.ReadTimeout = 20 * time.Millisecond
	server.Start()
	t.Cleanup(server.Close)
	r, _ := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/load_balancer/events", nil)
	r.Header.Set("Last-Event-ID", after)
	res, err := server.Client().Do(r) // its own: a spare connection would hold up a shutdown
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	if kind := res.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Errorf("content type %s", kind)
	}
	return bufio.NewScanner(res.Body), server
}

// until returns the first line from now on that has the text.
func until(t *testing.T, lines *bufio.Scanner, text string) string {
	t.Helper()
	for lines.Scan() {
		if strings.Contains(lines.Text(), text) {
			return lines.Text()
		}
	}
	t.Fatalf("the stream ended before %q", text)
	return ""
}

func TestEventsOfOrders(t *testing.T) {
	withoutOrders(t)
	lines, server := listen(t, "")
	until(t, lines, ": events")
	<-time.After(2 * server.Config.ReadTimeout) // which must not end the stream
	ask(t, "PATCH", x, `{"state": "drain", "weight": 0, "reason": "disk"}`).expect(t, 200, "")
	for range 2 { // pools have it
		until(t, lines, "event: order")
		data := until(t, lines, "data: ")
		if !strings.Contains(data, `"upstream":"10.0.0.1:80","to":"drain, weight 0","reason":"disk"`) {
			t.Error(data)
		}
	}
	ask(t, "PATCH", "/load_balancer/pools/two", `{"state": "paused"}`).expect(t, 200, "")
	until(t, lines, `"kind":"order","pool":"two","to":"paused"`)
	ask(t, "DELETE", "/load_balancer/pools/two", "").expect(t, 204, "")
	until(t, lines, `"kind":"order","pool":"two","to":"open"`)
}

// A shutdown of the server ends its streams at once, as it does at each load of a
// configuration and at the end of the process.
func TestShutdownEndsStreams(t *testing.T) {
	lines, server := listen(t, "")
	until(t, lines, ": events")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := server.Config.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
	}
	closings.mu.Lock()
	defer closings.mu.Unlock()
	if closings.all[server.Config] != nil {
		t.Error("the server is not forgotten")
	}
}

func TestEventsThatWereMissed(t *testing.T) {
	pool.Events.Publish(pool.Event{Kind: pool.OrdersChanged, Reason: "first"})
	all := pool.Events.Latest()
	first := all[len(all)-1]
	pool.Events.Publish(pool.Event{Kind: pool.OrdersChanged, Reason: "second"})
	for after, want := range map[string]string{
		"18446744073709551615": `"reason":"first"`, // of a process before: all that is kept
		"0":                    `"reason":"third"`,
		"garbage":              `"reason":"third"`,
		"":                     `"reason":"third"`,
	} {
		lines, _ := listen(t, after)
		until(t, lines, ": events")
		if want != `"reason":"first"` {
			pool.Events.Publish(pool.Event{Kind: pool.OrdersChanged, Reason: "third"})
			if data := until(t, lines, "data: "); !strings.Contains(data, want) {
				t.Errorf("after %q: %s", after, data)
			}
			continue
		}
		until(t, lines, want)
	}
	lines, _ := listen(t, strconv.FormatUint(first.ID, 10))
	if data := until(t, lines, "data: "); !strings.Contains(data, `"reason":"second"`) {
		t.Errorf("after the first: %s", data)
	}
}
