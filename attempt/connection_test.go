package attempt

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// delay is how long it takes until the proxy sees that the upstream has closed.
const delay = 50 * time.Millisecond

// link is a connection over a network with that delay.
type link struct{ net.Conn }

func (l link) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if err != nil {
		time.Sleep(delay)
	}
	return n, err
}

func (l link) Write(p []byte) (int, error) {
	if n, err := l.Conn.Write(p); err != io.ErrClosedPipe {
		return n, err
	}
	return len(p), nil // it gets lost on the way
}

// listener accepts connections in the process.
type listener struct {
	conns  chan net.Conn
	closed chan struct{}
	dials  int
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l *listener) Close() error   { close(l.closed); return nil }
func (l *listener) Addr() net.Addr { return new(net.TCPAddr) }

func (l *listener) dial(context.Context, string, string) (net.Conn, error) {
	l.dials++
	proxy, server := net.Pipe()
	l.conns <- server
	return link{proxy}, nil
}

// keeping returns an upstream that keeps idle connections for that long, and its
// listener.
func keeping(t *testing.T, idle time.Duration) (*upstream, *listener) {
	l := &listener{conns: make(chan net.Conn), closed: make(chan struct{})}
	s := &http.Server{IdleTimeout: idle, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	})}
	go s.Serve(l)
	t.Cleanup(func() { s.Close(); synctest.Wait(); time.Sleep(time.Hour) })
	return install(t, &reverseproxy.HTTPTransport{Transport: &http.Transport{DialContext: l.dial, IdleConnTimeout: 2 * time.Minute}}), l
}

func TestPostOnAConnectionThatTheUpstreamIsClosing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, l := keeping(t, time.Second)
		post := func(after time.Duration, want End, dials int) {
			t.Helper()
			time.Sleep(after)
			if got := u.attempt(http.MethodPost, "body"); got != want || l.dials != dials {
				t.Errorf("after %s: ended as %d after %d dials, want %d after %d", after, got, l.dials, want, dials)
			}
		}
		post(0, Complete, 1)
		post(900*time.Millisecond, Complete, 1)
		post(time.Second+delay/2, Stale, 1)
		synctest.Wait()
		if got := u.endpoint.Idle.Least(); got != time.Second+delay/2 || u.blames.Load() > 0 {
			t.Errorf("learned %s, blamed %d times", got, u.blames.Load())
		}
		post(0, Complete, 2)
		post(100*time.Millisecond, Complete, 2) // still soon enough
		for dials := range 5 {
			post(time.Second+delay/2, Complete, 3+dials)
		}
	})
}

// A POST without a body is not sent again by Go either.
func TestPostWithoutABodyOnAStaleConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, _ := keeping(t, time.Second)
		u.attempt(http.MethodPost, "")
		time.Sleep(time.Second + delay/2)
		if got := u.attempt(http.MethodPost, ""); got != Stale {
			t.Errorf("ended as %d", got)
		}
	})
}

// A GET that is served on a connection that was idle for longer shows that another was
// closed for another reason.
func TestWhatWasLearnedOfIdleConnectionsIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, l := keeping(t, time.Minute)
		u.endpoint.Idle.Closed(time.Second, 1)
		for _, step := range []struct{ after, learned time.Duration }{{0, time.Second}, {1900 * time.Millisecond, time.Second}, {2100 * time.Millisecond, 0}} {
			time.Sleep(step.after)
			if end, got := u.attempt(http.MethodGet, ""), u.endpoint.Idle.Least(); end != Complete || got != step.learned || l.dials != 1 {
				t.Errorf("after %s: ended as %d, learned %s, want %s; %d dials", step.after, end, got, step.learned, l.dials)
			}
		}
	})
}

// failing is a transport that hands over a connection, and fails after a while.
type failing struct {
	got   httptrace.GotConnInfo
	takes time.Duration
	heard bool
	err   error
}

func (f *failing) RoundTrip(r *http.Request) (*http.Response, error) {
	trace := httptrace.ContextClientTrace(r.Context())
	trace.GotConn(f.got)
	if f.heard {
		trace.GotFirstResponseByte()
	}
	time.Sleep(f.takes)
	return nil, f.err
}

// idleFor returns a connection that was idle for that long.
func idleFor(d time.Duration) httptrace.GotConnInfo {
	return httptrace.GotConnInfo{Reused: true, WasIdle: true, IdleTime: d}
}

func TestWhichFailuresAreOfStaleConnections(t *testing.T) {
	for name, c := range map[string]struct {
		failing
		want End
	}{
		"closed":                    {failing{got: idleFor(time.Second), err: io.EOF}, Stale},
		"reset":                     {failing{got: idleFor(time.Second), err: &net.OpError{Op: "read", Err: syscall.ECONNRESET}}, Stale},
		"reset while it was sent":   {failing{got: idleFor(time.Second), err: &net.OpError{Op: "write", Err: syscall.EPIPE}}, Stale},
		"a new connection":          {failing{err: io.EOF}, Closed},
		"used just before":          {failing{got: idleFor(99 * time.Millisecond), err: io.EOF}, Closed},
		"shared":                    {failing{got: httptrace.GotConnInfo{Reused: true}, err: io.EOF}, Closed},
		"a part of an answer":       {failing{got: idleFor(time.Second), heard: true, err: syscall.ECONNRESET}, Closed},
		"after it has begun on it":  {failing{got: idleFor(time.Second), takes: 2 * time.Second, err: io.EOF}, Closed},
		"no answer, but not closed": {failing{got: idleFor(time.Second), err: context.DeadlineExceeded}, Unanswered},
		"no connection":             {failing{got: idleFor(time.Second), err: reverseproxy.NewDialError(io.EOF)}, Lost},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u := install(t, &c.failing)
				got := u.attempt(http.MethodPost, "body")
				learned := u.endpoint.Idle.Least()
				if got != c.want || (learned != 0) != (c.want == Stale) {
					t.Errorf("ended as %d, want %d; learned %s", got, c.want, learned)
				}
			})
		})
	}
}

// tracing notes whether requests are traced.
type tracing struct{ traced atomic.Bool }

func (tr *tracing) RoundTrip(r *http.Request) (*http.Response, error) {
	tr.traced.Store(httptrace.ContextClientTrace(r.Context()) != nil)
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
}

// What Go sends again by itself is not traced, but for one request a second while it may
// show that something is to be forgotten.
func TestRequestsThatAreTraced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := new(tracing)
		u := install(t, inner)
		traced := func(method, body string) bool {
			u.attempt(method, body)
			return inner.traced.Load()
		}
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace} {
			if traced(method, "") || !traced(method, "body") {
				t.Errorf("%s is traced without a body, or not with one", method)
			}
		}
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			if !traced(method, "") || !traced(method, "body") {
				t.Errorf("%s is not traced", method)
			}
		}
		u.endpoint.Idle.Closed(time.Second, 1)
		var got []bool
		for range 4 {
			got = append(got, traced(http.MethodGet, ""))
			time.Sleep(500 * time.Millisecond)
		}
		if !slices.Equal(got, []bool{true, false, true, false}) {
			t.Errorf("traced: %v", got)
		}
	})
}

func TestResentByGo(t *testing.T) {
	post := httptest.NewRequest(http.MethodPost, "/", nil)
	if post.Body = http.NoBody; resent(post) {
		t.Error("a POST")
	}
	post.Header["Idempotency-Key"] = []string{"x"}
	if !resent(post) {
		t.Error("not a POST with an Idempotency-Key")
	}
	if post.Body = io.NopCloser(strings.NewReader("body")); resent(post) {
		t.Error("one with a body")
	}
	post.GetBody = func() (io.ReadCloser, error) { return http.NoBody, nil }
	if !resent(post) {
		t.Error("not one with a body that can be had again")
	}
}

// Caddy has a trace of its own. It goes on to be called.
func TestTracesAreComposed(t *testing.T) {
	called := false
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { called = true }}))
	r, c := watchConnection(r, nil)
	httptrace.ContextClientTrace(r.Context()).GotConn(idleFor(time.Second))
	if !called || c.idle.Load() != int64(time.Second) {
		t.Errorf("Caddy's was called: %t, ours: %d", called, c.idle.Load())
	}
}
