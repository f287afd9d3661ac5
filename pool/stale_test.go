package pool

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/attempt"
)

// stale is an upstream that closes a connection that was idle for a second, just as a
// request is sent on it.
func stale(r *http.Request) (*http.Response, error) {
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil {
		trace.GotConn(httptrace.GotConnInfo{Reused: true, WasIdle: true, IdleTime: time.Second})
	}
	return nil, io.EOF
}

// post has an attempt of a POST made on the i-th upstream.
func (b *testPool) post(i int, by answers) {
	r := get()
	r.Method, r.Body = http.MethodPost, io.NopCloser(strings.NewReader("body"))
	r, end := until(r)
	_, _ = b.send(r, i, by)
	end()
	synctest.Wait()
}

const closesSooner = "upstream closes idle connections sooner than Caddy, and a request that cannot be sent twice was lost, a POST, say: "

func TestStaleConnectionsAreNoFailuresOfTheUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPool(t, Options{}, 3)
		warned := func(want int) {
			t.Helper()
			if n := b.logs.FilterLevelExact(zap.WarnLevel).Len(); n != want {
				t.Errorf("%d warnings, want %d: %v", n, want, b.logs.All())
			}
		}
		for range 10 {
			b.post(0, stale)
		}
		m := b.static.members[0]
		b.expect(t, "ten were stale", "sss")
		if b.unanswered(0) != 0 || m.lost.Load() != 0 || b.inFlight(0) || m.latency.estimate.Load() != 0 {
			t.Errorf("%d count, lost %t, in flight %t", b.unanswered(0), m.lost.Load() != 0, b.inFlight(0))
		}
		b.serve(0, 1, says(200))
		warned(0) // the upstream's process may have ended
		time.Sleep(10 * time.Second)
		b.serve(0, 10, says(200))
		b.post(0, stale)
		b.serve(0, 10, says(200))
		warned(1)
		if got := b.logs.All()[0].Message; got != closesSooner+"have the transport keep idle connections for less than 500ms" {
			t.Error(got)
		}
	})
}

// A stale connection gives back the place of a probation.
func TestStaleConnectionOnProbation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPool(t, Options{}, 2)
		b.throw(0)
		time.Sleep(30 * time.Second)
		b.post(0, stale)
		b.expect(t, "a connection was stale", "ps")
		if b.probing(0) {
			t.Error("it has its one request")
		}
	})
}

// over has the pool's attempts made over the transport.
func (b *testPool) over(t *testing.T, inner http.RoundTripper) {
	t.Helper()
	transport, err := attempt.Install(caddy.Context{}, &reverseproxy.Handler{Transport: inner})
	if err != nil {
		t.Fatal(err)
	}
	transport.Join(b.Pool, false)
	b.transport = transport
}

func TestKeepaliveToWrite(t *testing.T) {
	for name, c := range map[string]struct {
		keeps time.Duration
		want  string
	}{
		"longer":    {2 * time.Minute, closesSooner + "write keepalive 2s in the block of transport http"},
		"less":      {4 * time.Second, ""},
		"as others": {0, closesSooner + "have the transport keep idle connections for less than 2s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newPool(t, Options{}, 1)
				if c.keeps > 0 {
					b.over(t, &reverseproxy.HTTPTransport{Transport: &http.Transport{IdleConnTimeout: c.keeps}})
				}
				idle := &b.static.members[0].known.endpoint.Idle
				idle.Closed(5*time.Second, 1)
				b.warnOfIdle(b.static.members[0])
				got := ""
				if all := b.logs.FilterLevelExact(zap.WarnLevel).All(); len(all) > 0 {
					got = all[0].Message
				}
				if got != c.want {
					t.Errorf("%q, want %q", got, c.want)
				}
			})
		})
	}
}
