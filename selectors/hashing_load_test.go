package selectors

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// open is to answer and go on answering until the body is closed.
func open(*http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, ProtoMajor: 1, Header: make(http.Header), Body: io.NopCloser(strings.NewReader("")),
	}, nil
}

// load is requests in flight, as a test counts them.
type load struct {
	h      *reverseproxy.Handler
	source func() []*reverseproxy.Upstream // of dynamic ones; nil for the handler's own
	weight map[string]float64              // of the upstreams that may be picked, by address
	weighs float64                         // all together
	factor float64

	mu     sync.Mutex
	flying []flying
	counts map[string]int
}

type flying struct {
	to  string
	end func() error
}

// loaded provisions a handler of n upstreams, whose responses end when they are
// told to.
func loaded(t *testing.T, config object, percent, n int) *load {
	t.Helper()
	l := &load{
		h:      pooltest.NewScripted(t, pooltest.With(config, object{"balance_factor": percent}), n),
		weight: make(map[string]float64), counts: make(map[string]int), factor: float64(percent) / 100,
	}
	for i := range n {
		pooltest.Script(pooltest.Dial(i), open)
		l.weight[pooltest.Dial(i)] = 1
	}
	l.weighs = float64(n)
	return l
}

// weigh has the test expect that the upstream has another weight; 0 if it may not
// be picked.
func (l *load) weigh(address string, weight float64) {
	l.weighs += weight - l.weight[address]
	l.weight[address] = weight
}

// most is how many of so many requests an upstream may have: their mean, times the
// factor, rounded up.
func (l *load) most(address string, requests int) int {
	return int(math.Ceil(l.factor*float64(requests)*l.weight[address]/l.weighs - 1e-9))
}

// send sends a request, and tells whom it met and how many that has then.
func (l *load) send(t *testing.T, r *http.Request) (to string, has, of int) {
	upstreams := []*reverseproxy.Upstream(l.h.Upstreams)
	if l.source != nil {
		upstreams = l.source()
	}
	u := l.h.LoadBalancing.SelectionPolicy.Select(upstreams, r, nil)
	if u == nil {
		t.Error("nothing picked")
		return pooltest.None, 0, 0
	}
	res := pooltest.RoundTrip(t, l.h, r, u)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flying = append(l.flying, flying{u.Dial, res.Body.Close})
	l.counts[u.Dial]++
	return u.Dial, l.counts[u.Dial], len(l.flying)
}

// place sends a request, and fails the test if its upstream then has too many.
func (l *load) place(t *testing.T, r *http.Request) string {
	t.Helper()
	to, has, of := l.send(t, r)
	if most := l.most(to, of); has > most {
		t.Fatalf("%s has %d of %d, want %d at most", to, has, of, most)
	}
	return to
}

// end ends the i-th request in flight.
func (l *load) end(i int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.flying[i]
	l.flying[i] = l.flying[len(l.flying)-1]
	l.flying = l.flying[:len(l.flying)-1]
	l.counts[f.to]--
	f.end()
}

func (l *load) endAll() {
	for len(l.flying) > 0 {
		l.end(0)
	}
}

// zipf returns users, of whom few send most of the requests.
func zipf(users uint64) func() *http.Request {
	z := rand.NewZipf(rand.New(rand.NewPCG(5, 6)), 1.01, 1, users-1)
	return func() *http.Request { return of(fmt.Sprint("user", z.Uint64())) }
}

// steady has so many requests in flight for as many steps, in each of which one
// ends and one comes.
func (l *load) steady(t *testing.T, inFlight, steps int, next func() *http.Request) {
	t.Helper()
	random := rand.New(rand.NewPCG(7, 8))
	for range inFlight {
		l.place(t, next())
	}
	for range steps {
		l.end(random.IntN(inFlight))
		l.place(t, next())
	}
}
