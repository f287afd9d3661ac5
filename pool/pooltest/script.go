package pooltest

import (
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

func init() { caddy.RegisterModule(new(scripted)) }

// scripted is a transport on which each upstream does as the test says. One that was
// not told anything answers 200.
type scripted struct{}

// CaddyModule returns the Caddy module information.
func (*scripted) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.reverse_proxy.transport.scripted", New: func() caddy.Module { return new(scripted) }}
}

// Act is what an upstream does with a request.
type Act func(r *http.Request) (*http.Response, error)

// scripts has what each upstream does, and how many attempts it had, by dial address.
var scripts = struct {
	sync.Mutex
	acts  map[string]Act
	tries map[string]int
}{acts: map[string]Act{}, tries: map[string]int{}}

// RoundTrip implements [http.RoundTripper].
func (*scripted) RoundTrip(r *http.Request) (*http.Response, error) {
	dial, _ := reverseproxy.GetDialInfo(r.Context())
	address := dial.Upstream.Dial
	if visited, ok := r.Context().Value(visitedKey{}).(*[]string); ok {
		*visited = append(*visited, address)
	}
	scripts.Lock()
	scripts.tries[address]++
	act := scripts.acts[address]
	scripts.Unlock()
	if act == nil {
		act = Answer(http.StatusOK)
	}
	return act(r)
}

// Script has the upstream do this with requests from now on; nil: answer 200.
func Script(address string, act Act) {
	scripts.Lock()
	defer scripts.Unlock()
	scripts.acts[address] = act
}

// ScriptAll is [Script] for several upstreams.
func ScriptAll(act Act, addresses ...string) {
	for _, address := range addresses {
		Script(address, act)
	}
}

// Tries returns how many attempts there were on an upstream.
func Tries(address string) int {
	scripts.Lock()
	defer scripts.Unlock()
	return scripts.tries[address]
}

// forgetScripts ends what a test has said.
func forgetScripts() {
	scripts.Lock()
	clear(scripts.acts)
	clear(scripts.tries)
	scripts.Unlock()
	forgetReports()
}

// Answer is to answer with the given status, and a header of pairs.
func Answer(status int, pairs ...string) Act {
	return func(*http.Request) (*http.Response, error) {
		header := make(http.Header)
		for i := 0; i < len(pairs); i += 2 {
			header.Set(pairs[i], pairs[i+1])
		}
		return &http.Response{StatusCode: status, ProtoMajor: 1, Header: header, Body: http.NoBody}, nil
	}
}

// Refuse is to refuse the connection.
func Refuse(*http.Request) (*http.Response, error) {
	return nil, reverseproxy.NewDialError(errors.New("refused"))
}

var errReset = errors.New("connection reset by peer")

// Reset is to end the connection without an answer.
func Reset(*http.Request) (*http.Response, error) { return nil, errReset }

// Take is to answer 200 after some time.
func Take(d time.Duration) Act {
	return func(r *http.Request) (*http.Response, error) {
		time.Sleep(d)
		return Answer(http.StatusOK)(r)
	}
}
