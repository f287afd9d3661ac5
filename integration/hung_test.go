package integration

import (
	"fmt"
	"testing"
	"time"
)

// TestWhenABackendHangs has one of four accept requests and leave them waiting
// for longer than the transport does.
func TestWhenABackendHangs(t *testing.T) {
	if forked(t) {
		return
	}
	b := backends(t, "a", "b", "c", "hung")
	setAll(b, working)
	hung := b[3]
	period := atLength(time.Second, 10*time.Second)
	p := run(t, policy(addrs(b...), "smooth_weighted_round_robin",
		fmt.Sprintf("outlier_detection {\n base_ejection_time %s\n}", period),
		"transport http {\n response_header_timeout 1s\n}"))
	l := p.load(atLength(200, 800))
	eventually(t, 5*time.Second, "all get traffic", func() bool { return l.answers(hung.name) > 20 })
	hung.set(after(10 * time.Second))
	began := time.Now()
	ejected := func(n int) time.Time {
		return logs.first(t, 5*time.Second+time.Duration(n)*period, "upstream is ejected", "upstream", hung.addr, "in_a_row", fmt.Sprint(n))
	}
	first := ejected(1)
	l.last(time.Until(first.Add(settled)))
	before := hung.requests.Load()
	last := ejected(3)
	probes := hung.requests.Load() - before
	counts := l.stop()
	t.Log(counts)
	if counts.failures() > 0 {
		t.Errorf("requests failed: %v", counts)
	}
	if probes != 2 {
		t.Errorf("%d requests tried it in two ejections, want one after each", probes)
	}
	t.Log("before: ", l.history.between(l.began, began).times())
	t.Log("hangs:  ", l.history.between(began, first).times())
	out := l.history.between(first, last)
	t.Log("ejected:", out.times())
	for i, a := range out.slowest() {
		if i >= 2 && a.took > time.Second/2 {
			t.Errorf("after its ejection only two requests should have met it: %v", a)
		}
	}
}
