package selectors

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

func init() { caddy.RegisterModule(new(instant)) }

// instant is a transport that answers, or refuses, at once and without a lock.
type instant struct {
	Refuse bool `json:"refuse"`
}

func (*instant) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.reverse_proxy.transport.instant", New: func() caddy.Module { return new(instant) }}
}

var errRefused = reverseproxy.NewDialError(errors.New("refused"))

func (i *instant) RoundTrip(*http.Request) (*http.Response, error) {
	if i.Refuse {
		return nil, errRefused
	}
	return &http.Response{StatusCode: http.StatusOK, ProtoMajor: 1, Body: io.NopCloser(strings.NewReader("hello"))}, nil
}

// BenchmarkAttempt shows what the plugin does around one attempt, its answer read
// to the end; under Caddy's random nothing stands before the transport:
//
//	go test -run '^$' -bench Attempt ./selectors
func BenchmarkAttempt(b *testing.B) {
	for _, policy := range []object{
		{"policy": "random"},
		{"policy": "weighted_random"},
		{"policy": "weighted_random", "outlier_detection": object{"off": true}},
		{"policy": "least_request"},
		{"policy": "peak_ewma"},
	} {
		name := fmt.Sprint("policy=", policy["policy"])
		if policy["outlier_detection"] != nil {
			name += "_off"
		}
		b.Run(name, func(b *testing.B) {
			h := pooltest.LoadHandler(b, object{
				"load_balancing": object{"selection_policy": policy},
				"transport":      object{"protocol": "instant"},
				"upstreams":      pooltest.Dials(4),
			})
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				u := h.Upstreams[rand.IntN(len(h.Upstreams))]
				r := pooltest.Directed(pooltest.NewRequest(), u)
				for pb.Next() {
					res, err := h.Transport.RoundTrip(r)
					if err != nil {
						b.Fatal(err)
					}
					_, _ = io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
			})
		})
	}
}

// BenchmarkStorm has 5,000 attempts a second fail, on a fifth of 10,000 upstreams,
// which get ejected by that. cores is the processor time of the whole process per
// second, µs/failure what one failure costs, with all that follows from it;
// late-ms is how far the failures have fallen behind their rate in the end:
//
//	go test -run '^$' -bench Storm -benchtime 15000x ./selectors
func BenchmarkStorm(b *testing.B) {
	const upstreams, dead, rate = 10_000, 2_000, 5_000
	for _, policy := range []string{"random", "weighted_random", "smooth_weighted_round_robin", "peak_ewma"} {
		b.Run("policy="+policy, func(b *testing.B) {
			pooltest.Isolate()
			h := pooltest.LoadHandler(b, object{
				"load_balancing": object{"selection_policy": object{"policy": policy}},
				"transport":      object{"protocol": "instant", "refuse": true},
				"upstreams":      pooltest.Dials(upstreams),
			})
			attempts := make([]*http.Request, dead)
			for i := range attempts {
				attempts[i] = pooltest.Directed(pooltest.NewRequest(), h.Upstreams[i])
			}
			b.ReportAllocs()
			b.ResetTimer()
			used, began, n := processorTime(b), time.Now(), 0
			for ; b.Loop(); n++ {
				if n%5 == 0 {
					time.Sleep(time.Until(began.Add(time.Duration(n) * time.Second / rate)))
				}
				if _, err := h.Transport.RoundTrip(attempts[rand.IntN(dead)]); err == nil {
					b.Fatal("answered")
				}
			}
			took := time.Since(began)
			cpu := processorTime(b) - used
			b.ReportMetric(cpu.Seconds()/took.Seconds(), "cores")
			b.ReportMetric(float64(cpu.Microseconds())/float64(n), "µs/failure")
			b.ReportMetric(max(0, (took-time.Duration(n)*time.Second/rate).Seconds()*1000), "late-ms")
		})
	}
}

// processorTime is what this process has used so far.
func processorTime(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
