package pool

import (
	"flag"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-evenkeel/evenkeel/attempt"
	"github.com/caddy-evenkeel/evenkeel/internal/instant"
	"github.com/caddy-evenkeel/evenkeel/outlier"
	"github.com/caddy-evenkeel/evenkeel/queue"
)

var long = flag.Bool("long", false, "have a million addresses come and go")

// expect compares series of the pool with what they should be. Names are without the
// prefix of all; a value below zero is for a series that is not there.
func expect(t *testing.T, when string, p *Pool, want map[string]float64) {
	t.Helper()
	got := scrape(t, p)
	for name, value := range want {
		n, ok := got["caddy_load_balancer_"+name]
		if value < 0 && ok {
			t.Errorf("%s: %s is %v, want none", when, name, n)
		} else if value >= 0 && (!ok || n != value) {
			t.Errorf("%s: %s is %v (%t), want %v", when, name, n, ok, value)
		}
	}
}

// of returns the name of a series of the i-th upstream. More are labels that come before
// that of the pool, and behind it.
func (b *testPool) of(name string, i int, before, behind string) string {
	return fmt.Sprintf(`%s{%spool=%q,%supstream=%q}`, name, before, b.Name(), behind, b.statics[i].Dial)
}

func TestSeriesTellWhatThereIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPool(t, Options{PanicThreshold: ptr(0.0)}, 3)
		expect(t, "at the start", b.Pool, map[string]float64{
			b.of("upstream_state", 0, "", `state="up",`): 1,
			b.of("upstream_up", 0, "", ""):               1,
			b.of("attempts_begun_total", 0, "", ""):      0,
			b.of("attempt_duration_seconds", 0, "", ""):  -1,
			b.of("upstream_latency_seconds", 0, "", ""):  -1,
		})
		if res, err := b.send(get(), 0, says(204)); err != nil {
			t.Fatal(err)
		} else {
			res.Body.Close()
		}
		b.eject(b.static.members[1], outlier.Finding{Rule: outlier.ByLocal})
		b.memory.tally.unserved(queue.HoldTimeout)
		synctest.Wait()
		expect(t, "after an answer and an ejection", b.Pool, map[string]float64{
			b.of("attempts_begun_total", 0, "", ""):                                            1,
			b.of("attempts_total", 0, `class="2xx",`, ""):                                      1,
			b.of("attempt_duration_seconds", 0, "", ""):                                        1,
			b.of("upstream_in_flight", 0, "", ""):                                              0,
			b.of("upstream_state", 1, "", `state="up",`):                                       -1,
			b.of("upstream_state", 1, "", `state="ejected",`):                                  1,
			b.of("upstream_up", 1, "", ""):                                                     0,
			b.of("ejections_total", 1, "", `rule="`+outlier.ByLocal+`",`):                      1,
			b.of("ejections_total", 0, "", `rule="`+outlier.ByLocal+`",`):                      -1,
			fmt.Sprintf(`pool_attempts_total{pool=%q}`, b.Name()):                              1,
			fmt.Sprintf(`panic{pool=%q}`, b.Name()):                                            0,
			fmt.Sprintf(`queue_refused_total{pool=%q,reason=%q}`, b.Name(), queue.HoldTimeout): 1,
			fmt.Sprintf(`queue_refused_total{pool=%q,reason=%q}`, b.Name(), queue.Full):        0,
			fmt.Sprintf(`orders{pool=%q,state="maintenance"}`, b.Name()):                       0,
			fmt.Sprintf(`retries_total{pool=%q}`, b.Name()):                                    0,
			fmt.Sprintf(`panic_changes_total{change="entered",pool=%q}`, b.Name()):             0,
		})
		next := reloaded(t, Options{}, 3)
		next.call(naming{name: b.Name(), final: true})
		expect(t, "after a reload", next.Pool, map[string]float64{
			next.of("attempts_total", 0, `class="2xx",`, ""):                                   1,
			next.of("ejections_total", 1, "", `rule="`+outlier.ByLocal+`",`):                   1,
			fmt.Sprintf(`queue_refused_total{pool=%q,reason=%q}`, b.Name(), queue.HoldTimeout): 1,
		})
	})
}

// A retry counts apart; a first attempt does not.
func TestRetriesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutage(t, Options{}, 2)
		retries := func() float64 {
			return scrape(t, b.Pool)[fmt.Sprintf(`caddy_load_balancer_retries_total{pool=%q}`, b.Name())]
		}
		if o := b.serve(get()); o.err != nil || retries() != 0 {
			t.Errorf("%v, and %v retries, want none", o.err, retries())
		}
		b.set(true, 0)
		if o := b.serve(get()); o.err != nil || retries() != 1 {
			t.Errorf("%v, and %v retries, want one", o.err, retries())
		}
	})
}

// An address that is there twice, or is no UTF-8, spoils no scrape.
func TestHardNamesDoNotSpoilAScrape(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPool(t, Options{}, 2)
		now := instant.Now()
		for _, address := range []string{b.statics[0].Dial, "\xff\xfe:80", "\xfe\xff:80", "a\"b\n:80"} {
			m, _, _ := b.newMember(address, now)
			b.static.members = append(b.static.members, m)
			if _, ok := b.static.index[address]; !ok {
				b.static.index[address] = len(b.static.members) - 1
			}
			b.statics = append(b.statics, returns(address)...)
		}
		n := 0
		for name := range scrape(t, b.Pool) { // fails where the registry finds fault
			if strings.HasPrefix(name, "caddy_load_balancer_upstream_up{") {
				n++
			}
		}
		if n < 4 {
			t.Errorf("%d upstreams are told", n)
		}
	})
}

// One registry takes the collector once, however many pools a configuration has.
func TestCollectorIsRegisteredOnce(t *testing.T) {
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer cancel()
	for range 2 {
		if err := RegisterCollector(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := ctx.GetMetricsRegistry().Register(Collector{}); err == nil {
		t.Error("it was not registered")
	}
	taken := prometheus.NewGauge(prometheus.GaugeOpts{Name: "caddy_load_balancer_panic"})
	other, end := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer end()
	other.GetMetricsRegistry().MustRegister(taken)
	if err := RegisterCollector(other); err == nil {
		t.Error("a name that is taken by something else is no error")
	}
}

// Addresses that come and go leave no series, and no memory.
func TestAddressesComeAndGoWithoutATrace(t *testing.T) {
	addresses := 20_000
	if *long {
		addresses = 1_000_000
	}
	synctest.Test(t, func(t *testing.T) {
		b := newPool(t, Options{}, 0)
		b.source.configure([]byte(`{"source":"a","name":"{x}.test"}`))
		b.expiry, b.limit = time.Minute, 100
		used := func() uint64 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		start, memory, most := len(scrape(t, b.Pool)), used(), 0
		for i := range addresses {
			u := returns(fmt.Sprintf("come-%d:80", i))
			if b.handle.Select(u, asking("x", fmt.Sprint(i)), nil) == nil {
				t.Fatal("nobody")
			}
			if m := b.member(u[0].Dial); m != nil && m.known != nil {
				c := &m.known.counters
				c.begin(instant.Now())
				c.answered(200, time.Millisecond)
				c.end(attempt.Complete)
			}
			if i%50 == 0 {
				time.Sleep(time.Minute)
			}
			if i%5000 == 70 {
				most = max(most, len(scrape(t, b.Pool)))
			}
		}
		time.Sleep(10 * time.Minute)
		if n := len(scrape(t, b.Pool)); n != start {
			t.Errorf("%d series are left, of %d at the start", n, start)
		}
		if most <= start || most > start+b.limit*12 {
			t.Errorf("%d series at the most, %d at the start", most, start)
		}
		if now := used(); now > memory+4<<20 {
			t.Errorf("%d KiB are in use, %d at the start", now>>10, memory>>10)
		}
	})
}
