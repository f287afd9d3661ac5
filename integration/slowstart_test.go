package integration

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

// TestWhenAKilledBackendComesBackCold has one of four killed under load and
// started again: no request may fail, and its share of the traffic must grow as
// slow_start says.
func TestWhenAKilledBackendComesBackCold(t *testing.T) {
	if forked(t) {
		return
	}
	b, c := backends(t, "a", "b", "d"), startChild(t, "cold")
	setAll(b, working)
	window := atLength(3*time.Second, 10*time.Second)
	rate := atLength(400, 1600)
	p := run(t, policy(strings.Join([]string{b[0].addr, b[1].addr, c.addr, b[2].addr}, " "), "smooth_weighted_round_robin",
		fmt.Sprintf("slow_start %s\n%s", window, check("http "+healthPath))))
	l := p.load(rate)
	eventually(t, 5*time.Second, "all get traffic", func() bool { return l.answers(c.name) > 20 })
	c.kill()
	logs.first(t, outBound, "upstream is unhealthy", "upstream", c.addr)
	c.start(t)
	healthy := logs.first(t, inBound+time.Second, "upstream is healthy", "upstream", c.addr)
	l.last(time.Until(healthy.Add(window + time.Second)))
	counts := l.stop()
	t.Log(counts)
	if counts.failures() > 0 {
		t.Errorf("requests failed: %v", counts)
	}
	// Its failed requests have had it ejected as well, so that it had to prove
	// itself by another one.
	began := healthy
	if back := logs.find("upstream is back after its ejection", "upstream", c.addr); len(back) > 0 {
		began = at(t, back[0])
		t.Logf("back %s after the check has passed", began.Sub(healthy))
	}
	bins := time.Duration(atLength(2, 5))
	for n := range bins {
		from, to := window*n/bins, window*(n+1)/bins
		some := l.history.between(began.Add(from), began.Add(to))
		got, want := some.share(c.name), slowShare(from, to, window)
		t.Logf("from %s to %s: %.2f %% of %d requests, by the formula %.2f %% (%+.1f %%)",
			from, to, got*100, len(some), want*100, (got/want-1)*100)
		if math.Abs(got/want-1) > 0.1 {
			t.Errorf("from %s to %s it got %.2f %%, want %.2f %%, give or take a tenth", from, to, got*100, want*100)
		}
	}
	full := l.history.between(began.Add(window), time.Time{})
	if got := full.share(c.name); math.Abs(got-0.25) > 0.025 {
		t.Errorf("after the window it got %.1f %%, want 25 %%", got*100)
	}
}

// slowShare is what an upstream in slow start should get of all traffic, beside
// three others of full weight: the mean from one age to another.
func slowShare(from, to, window time.Duration) float64 {
	const steps = 1000
	sum := 0.0
	for i := range steps {
		age := float64(from) + (float64(i)+0.5)/steps*float64(to-from)
		weight := max(0.1, age/float64(window))
		sum += weight / (3 + weight)
	}
	return sum / steps
}
