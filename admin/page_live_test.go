package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-evenkeel/evenkeel/pool"
)

// counted is a page of one upstream, whose reason is how many snapshots there were.
type counted struct {
	made  int // only of the goroutine that makes them, until that has ended
	names atomic.Pointer[[]string]
}

func newCounted(names ...string) *counted {
	c := new(counted)
	c.names.Store(&names)
	return c
}

func (c *counted) snapshot() *pageModel {
	c.made++
	v := pool.View{Name: "shop"}
	for _, name := range *c.names.Load() {
		v.Upstreams = append(v.Upstreams, pool.UpstreamView{Address: name, State: pool.Up, Reason: strings.Repeat("x", c.made)})
	}
	return modelOf([]pool.View{v}, nil, nil)
}

func read(t *testing.T, text []byte) (c changes) {
	t.Helper()
	var numbers struct{ Numbers map[string][3]float64 }
	data := strings.TrimPrefix(string(text), "data: ")
	if err := json.Unmarshal([]byte(data), &numbers); err != nil {
		t.Fatal(err, data)
	}
	var raw map[string]json.RawMessage
	_ = json.Unmarshal([]byte(data), &raw)
	delete(raw, "numbers")
	rest, _ := json.Marshal(raw)
	if err := json.Unmarshal(rest, &c); err != nil {
		t.Fatal(err, data)
	}
	return c
}

// All viewers share one snapshot a second; with none there are none, and no goroutine:
// synctest fails a test that leaves one.
func TestViewersShareSnapshots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounted("a")
		l := newLive(c.snapshot)
		var all []<-chan []byte
		for range 50 {
			events, err := l.watch()
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, events)
		}
		for second := range 10 {
			synctest.Wait()
			for _, events := range all {
				got := read(t, <-events)
				if whole := got.States != nil; whole != (second == 0) {
					t.Fatalf("after %d s, all: %t", second, whole)
				}
				if want := strings.Repeat("x", second+1); got.Texts["p0g0r0w"] != want {
					t.Fatalf("%q, want %q", got.Texts["p0g0r0w"], want)
				}
			}
			time.Sleep(snapshotEvery)
		}
		for _, events := range all {
			l.leave(events)
		}
		before := c.made
		time.Sleep(time.Minute)
		if c.made != before || before > 11 {
			t.Errorf("%d snapshots, %d more while nobody watched", before, c.made-before)
		}
	})
}

// Who comes late, reads slowly or sees other upstreams gets all.
func TestViewersWhoNeedAllGetAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounted("a")
		l := newLive(c.snapshot)
		defer l.end()
		slow, _ := l.watch()
		time.Sleep(2500 * time.Millisecond)
		late, _ := l.watch()
		for name, events := range map[string]<-chan []byte{"slow": slow, "late": late} {
			if got := read(t, <-events); got.States == nil || got.Texts["p0g0r0w"] != "xxx" {
				t.Errorf("%s: %+v", name, got)
			}
		}
		time.Sleep(time.Second)
		if got := read(t, <-late); got.States != nil || got.Texts["p0g0r0w"] != "xxxx" {
			t.Errorf("next: %+v", got)
		}
		shape := read(t, <-slow).Shape
		c.names.Store(&[]string{"a", "b"})
		time.Sleep(time.Second)
		if got := read(t, <-slow); got.States == nil || got.Shape == shape {
			t.Errorf("another shape: %+v", got)
		}
	})
}

func TestViewersAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLive(newCounted().snapshot)
		defer l.end()
		for range maxViewers {
			if _, err := l.watch(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := l.watch(); err != errTooMany {
			t.Error(err)
		}
	})
}

// deafWriter is that of a client that reads nothing: writing lasts until its deadline.
type deafWriter struct {
	*httptest.ResponseRecorder
	deadline chan time.Time
}

func (w deafWriter) SetWriteDeadline(at time.Time) error {
	if !at.IsZero() {
		select {
		case w.deadline <- at:
		default:
		}
	}
	return nil
}

func (w deafWriter) Write([]byte) (int, error) {
	<-w.deadline
	return 0, http.ErrHandlerTimeout
}

// The end of the page ends all streams, that of a client that reads nothing, too, and
// none begins afterwards.
func TestEndEndsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLive(newCounted().snapshot)
		done := make(chan error)
		r := httptest.NewRequest(http.MethodGet, "/status?live", nil)
		hears := httptest.NewRecorder()
		go func() { done <- l.stream(hears, r) }()
		go func() { done <- l.stream(deafWriter{httptest.NewRecorder(), make(chan time.Time)}, r) }()
		time.Sleep(3500 * time.Millisecond)
		select {
		case <-done:
			t.Fatal("a stream has ended by itself")
		default:
		}
		l.end()
		l.end()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if n := strings.Count(hears.Body.String(), "data: {"); n != 4 {
			t.Errorf("%d snapshots in three seconds", n)
		}
		if err := l.stream(httptest.NewRecorder(), r); err != nil {
			t.Error(err)
		}
	})
}

// A client that goes away ends its stream.
func TestClientsThatGoAwayLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounted()
		p := newPage(false)
		p.live = newLive(c.snapshot)
		server := httptest.NewRequest(http.MethodGet, "/status?live", nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan int)
		go func() { done <- askPage(p, server.WithContext(ctx)).Code }()
		synctest.Wait()
		cancel()
		if code := <-done; code != http.StatusOK || c.made != 1 {
			t.Errorf("%d, %d snapshots", code, c.made)
		}
	})
}
