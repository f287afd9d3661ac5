package selectors

import (
	"context"
	"flag"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

var tail = flag.Bool("tail", false, "simulate the tail of latencies under load")

func init() { caddy.RegisterModule(new(queues)) }

// queues is a transport of simulated upstreams, each of which serves one request
// after another.
type queues struct{}

func (*queues) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.reverse_proxy.transport.queues", New: func() caddy.Module { return new(queues) }}
}

// farm is what there is to know of the simulated upstreams.
var farm struct {
	sync.Mutex
	slowness []float64            // of each upstream: what multiplies the work
	number   map[string]int       // of each upstream, by address
	until    map[string]time.Time // by address: when it is through with what it has
}

// workKey is where a request's context says how much work it is.
type workKey struct{}

func (*queues) RoundTrip(r *http.Request) (*http.Response, error) {
	info, _ := reverseproxy.GetDialInfo(r.Context())
	address := info.Upstream.Dial
	work := r.Context().Value(workKey{}).(time.Duration)
	farm.Lock()
	done := farm.until[address]
	if now := time.Now(); done.Before(now) {
		done = now
	}
	done = done.Add(time.Duration(float64(work) * farm.slowness[farm.number[address]]))
	farm.until[address] = done
	farm.Unlock()
	time.Sleep(time.Until(done))
	return pooltest.Answer(http.StatusOK)(r)
}

const (
	tailBackends = 10
	tailRequests = 20_000
	tailWork     = 10 * time.Millisecond // in the mean, exponential
	tailLoad     = 0.65                  // of what all can do
)

// fleets are by name how slow the upstreams are, and whether two of them, others
// four times a second, are four times as slow.
var fleets = []struct {
	name     string
	slowness func(i int) float64
	restless bool
}{
	{"equal", func(int) float64 { return 1 }, false},
	{"one slow", func(i int) float64 { return 1 + 3*float64(max(1-i, 0)) }, false},
	{"two speeds", func(i int) float64 { return 1 + float64(i%2) }, false},
	{"two disturbed", func(int) float64 { return 1 }, true},
}

// TestTail simulates ten upstreams that serve one request at a time, with
// exponential times, under an open load, and reports the latencies of each policy.
// All have the same requests. It needs the flag -tail.
func TestTail(t *testing.T) {
	if !*tail {
		t.Skip("needs -tail")
	}
	for _, fleet := range fleets {
		for _, policy := range []string{"random", "least_request", "peak_ewma"} {
			t.Run(fleet.name+"/"+policy, func(t *testing.T) {
				var p50, p99, p999 time.Duration
				const runs = 3
				for seed := range uint64(runs) {
					pooltest.Test(t, func(t *testing.T) {
						took := simulate(t, policy, fleet.slowness, fleet.restless, seed)
						slices.Sort(took)
						p50 += took[len(took)/2] / runs
						p99 += took[len(took)*99/100] / runs
						p999 += took[len(took)*999/1000] / runs
					})
				}
				const ms = float64(time.Millisecond)
				t.Logf("%-14s %-14s p50 %5.1f ms, p99 %6.1f ms, p99.9 %6.1f ms", fleet.name, policy,
					float64(p50)/ms, float64(p99)/ms, float64(p999)/ms)
			})
		}
	}
}

func simulate(t *testing.T, policy string, slowness func(int) float64, restless bool, seed uint64) []time.Duration {
	h := pooltest.LoadHandler(t, object{
		"load_balancing": object{"selection_policy": object{"policy": policy}},
		"transport":      object{"protocol": "queues"},
		"upstreams":      pooltest.Dials(tailBackends),
	})
	usual, capacity := make([]float64, tailBackends), 0.0
	farm.number, farm.until = make(map[string]int), make(map[string]time.Time)
	for i := range usual {
		usual[i] = slowness(i)
		farm.number[pooltest.Dial(i)] = i
		capacity += 1 / usual[i]
	}
	farm.slowness = slices.Clone(usual)
	chance := rand.New(rand.NewPCG(seed, 1))
	if restless {
		capacity -= 2 * 0.75
		over := make(chan struct{})
		defer close(over)
		go disturb(usual, rand.New(rand.NewPCG(seed, 2)), over)
	}
	gap := float64(tailWork) / (capacity * tailLoad)
	took := make([]time.Duration, tailRequests)
	var all sync.WaitGroup
	for i := range took {
		time.Sleep(time.Duration(chance.ExpFloat64() * gap))
		r := proxyRequest()
		r = r.WithContext(context.WithValue(r.Context(), workKey{}, time.Duration(chance.ExpFloat64()*float64(tailWork))))
		all.Go(func() {
			began := time.Now()
			if err := h.ServeHTTP(&discard{make(http.Header)}, r, nil); err != nil {
				t.Error(err)
			}
			took[i] = time.Since(began)
		})
	}
	all.Wait()
	return took[tailRequests/10:] // the start does not count
}

// disturb has two upstreams be four times as slow, others four times a second.
func disturb(usual []float64, chance *rand.Rand, over chan struct{}) {
	for {
		farm.Lock()
		copy(farm.slowness, usual)
		for _, i := range chance.Perm(len(usual))[:2] {
			farm.slowness[i] *= 4
		}
		farm.Unlock()
		select {
		case <-over:
			return
		case <-time.After(250 * time.Millisecond):
		}
	}
}
