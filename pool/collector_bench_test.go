//go:build unix

package pool

import (
	"io"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/attempt"
	"github.com/caddy-evenkeel/evenkeel/internal/instant"
	"github.com/caddy-evenkeel/evenkeel/outlier"
)

// discarding is a response that counts its bytes.
type discarding struct {
	header http.Header
	n      int64
}

func (d *discarding) Header() http.Header { return d.header }
func (d *discarding) WriteHeader(int)     {}
func (d *discarding) Write(b []byte) (int, error) {
	d.n += int64(len(b))
	return io.Discard.Write(b)
}

// processorTime returns how long the process has kept processors busy.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// One scrape of 10,000 upstreams, all of which have had attempts of three classes and an
// ejection: from the pool's state to the text.
func BenchmarkScrapeOf10000Upstreams(b *testing.B) {
	network++
	p := reloaded(b, Options{}, 0)
	now := instant.Now()
	p.limit = 20_000
	for i := range 10_000 {
		address := host(network+i>>8, i&0xff) + ":80"
		p.statics = append(p.statics, &reverseproxy.Upstream{Dial: address, Host: new(reverseproxy.Host)})
		m, _, _ := p.newMember(address, now)
		p.static.index[address] = i
		p.static.members = append(p.static.members, m)
		for n := range 40 {
			m.known.counters.begin(now)
			m.known.counters.answered(200+100*(n%3), time.Duration(n*n)*time.Millisecond)
			m.known.counters.end(attempt.Complete)
		}
		m.known.counters.ejected(outlier.ByLocal)
		m.latency.observe(now, time.Millisecond, false, time.Second)
	}
	network += 10_000 >> 8
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(collecting{pool: p.Pool})
	handler := promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	for name, encoding := range map[string]string{"plain": "identity", "gzip": "gzip"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
			r.Header.Set("Accept-Encoding", encoding)
			w, began := new(discarding), processorTime(b)
			for b.Loop() {
				w = &discarding{header: make(http.Header)}
				handler.ServeHTTP(w, r)
			}
			b.ReportMetric(float64(w.n)/1e6, "MB")
			b.ReportMetric(float64((processorTime(b)-began).Milliseconds())/float64(b.N), "cpu-ms/op")
		})
	}
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p.View()
		}
	})
}

// What an attempt costs: what the pool counts, beside the same with the vectors of the
// client library, and those with the series looked up before.
func BenchmarkCountingAnAttempt(b *testing.B) {
	b.Run("pool", func(b *testing.B) {
		b.ReportAllocs()
		c, now := new(counters), instant.Now()
		for b.Loop() {
			c.begin(now)
			c.answered(200, time.Millisecond)
			c.end(attempt.Complete)
		}
	})
	attempts := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "a"}, []string{"pool", "upstream", "class"})
	took := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "h", Buckets: Buckets[:]}, []string{"pool", "upstream"})
	inFlight := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "g"}, []string{"pool", "upstream"})
	b.Run("vectors", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			inFlight.WithLabelValues("web", "10.0.0.1:80").Inc()
			attempts.WithLabelValues("web", "10.0.0.1:80", "2xx").Inc()
			took.WithLabelValues("web", "10.0.0.1:80").Observe(0.001)
			inFlight.WithLabelValues("web", "10.0.0.1:80").Dec()
		}
	})
	b.Run("looked-up", func(b *testing.B) {
		b.ReportAllocs()
		a, h, g := attempts.WithLabelValues("web", "10.0.0.1:80", "2xx"), took.WithLabelValues("web", "10.0.0.1:80"), inFlight.WithLabelValues("web", "10.0.0.1:80")
		for b.Loop() {
			g.Inc()
			a.Inc()
			h.Observe(0.001)
			g.Dec()
		}
	})
}

// An attempt with all that the pool does for it.
func BenchmarkAttempt(b *testing.B) {
	network++
	p := reloaded(b, Options{}, 1)
	r := get()
	b.ReportAllocs()
	for b.Loop() {
		res, err := p.send(r, 0, says(200))
		if err != nil {
			b.Fatal(err)
		}
		res.Body.Close()
	}
}
