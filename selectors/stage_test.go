package selectors

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
)

func init() {
	caddy.RegisterModule(new(stage))
	caddy.RegisterModule(new(mouthpiece))
}

// stage is a transport on which each upstream does what the test says. One of
// which it says nothing answers 200.
type stage struct{}

func (*stage) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.reverse_proxy.transport.stage", New: func() caddy.Module { return new(stage) }}
}

// act is what an upstream does with a request.
type act func(r *http.Request) (*http.Response, error)

var acts = struct {
	sync.Mutex
	of    map[string]act
	tries map[string]int
	says  map[string]healthcheck.Report // to the checker mouthpiece
}{of: map[string]act{}, tries: map[string]int{}, says: map[string]healthcheck.Report{}}

func (*stage) RoundTrip(r *http.Request) (*http.Response, error) {
	dial, _ := reverseproxy.GetDialInfo(r.Context())
	address := dial.Upstream.Dial
	acts.Lock()
	acts.tries[address]++
	do := acts.of[address]
	acts.Unlock()
	if do == nil {
		do = answer(http.StatusOK)
	}
	return do(r)
}

// answer is to answer with the given status, and a header of pairs.
func answer(status int, pairs ...string) act {
	return func(*http.Request) (*http.Response, error) {
		header := make(http.Header)
		for i := 0; i < len(pairs); i += 2 {
			header.Set(pairs[i], pairs[i+1])
		}
		return &http.Response{StatusCode: status, ProtoMajor: 1, Header: header, Body: http.NoBody}, nil
	}
}

// refuse is not to be there.
func refuse(*http.Request) (*http.Response, error) {
	return nil, reverseproxy.NewDialError(errors.New("refused"))
}

// take is to answer 200 after some time.
func take(d time.Duration) act {
	return func(r *http.Request) (*http.Response, error) {
		time.Sleep(d)
		return answer(http.StatusOK)(r)
	}
}

// play gives an upstream its act.
func play(address string, does act) {
	acts.Lock()
	defer acts.Unlock()
	acts.of[address] = does
}

// tries returns how many attempts there were on an upstream.
func tries(address string) int {
	acts.Lock()
	defer acts.Unlock()
	return acts.tries[address]
}

// mouthpiece is a checker that reports what the test has an upstream say.
type mouthpiece struct{}

func (*mouthpiece) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: healthcheck.Namespace + ".mouthpiece", New: func() caddy.Module { return new(mouthpiece) }}
}

func (*mouthpiece) Check(context.Context, healthcheck.Target) error { return nil }

func (*mouthpiece) Report(_ context.Context, t healthcheck.Target) (healthcheck.Report, error) {
	acts.Lock()
	defer acts.Unlock()
	return acts.says[t.Upstream], nil
}

// say lets an upstream tell its checks something, and them to hear it.
func say(address string, what healthcheck.Report) {
	acts.Lock()
	acts.says[address] = what
	acts.Unlock()
	time.Sleep(3 * time.Second)
	synctest.Wait()
}

var told = object{"health_checks": []object{{
	"interval": "1s", "on_response": object{}, "checker": object{"type": "mouthpiece"},
}}}

// staged provisions a handler whose n upstreams are on the stage, and have the
// given options.
func staged(tb testing.TB, policy object, n int, options ...object) *reverseproxy.Handler {
	tb.Helper()
	tb.Cleanup(func() {
		acts.Lock()
		defer acts.Unlock()
		clear(acts.of)
		clear(acts.tries)
		clear(acts.says)
	})
	upstreams := dials(n)
	for i := range upstreams {
		for _, o := range options {
			upstreams[i] = with(upstreams[i], o)
		}
	}
	return loadHandler(tb, object{
		"load_balancing": object{"selection_policy": policy},
		"transport":      object{"protocol": "stage"},
		"upstreams":      upstreams,
	})
}

// newRequestOf returns a request of one of many clients.
func newRequestOf(client int) *http.Request {
	r := newRequest()
	r.RemoteAddr = fmt.Sprintf("192.0.%d.%d:1234", client>>8&0xff, client&0xff)
	return r
}

// ofMany counts the picks for a request of each of n clients by dial address. The
// requests go on.
func ofMany(h *reverseproxy.Handler, n int) map[string]int {
	counts, _ := ofManyUntil(h, n)
	return counts
}

// ofManyUntil is ofMany with requests that end together.
func ofManyUntil(h *reverseproxy.Handler, n int) (counts map[string]int, end func()) {
	counts = make(map[string]int)
	ends := make([]context.CancelFunc, n)
	for client := range n {
		var r *http.Request
		r, ends[client] = ending(newRequestOf(client))
		counts[pick(h, h.Upstreams, r)]++
	}
	return counts, func() {
		for _, end := range ends {
			end()
		}
		synctest.Wait()
	}
}

// sum adds up the picks of the upstreams from the first number to before the last.
func sum(counts map[string]int, from, to int) (n int) {
	for i := from; i < to; i++ {
		n += counts[dial(i)]
	}
	return n
}
