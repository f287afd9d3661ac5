package integration

import (
	"testing"
	"time"
)

// TestTwinsPanicEachForItself has two sites that differ only in when they panic: what
// one does is no news of the other, over reloads as well.
func TestTwinsPanicEachForItself(t *testing.T) {
	if forked(t) {
		return
	}
	b := backends(t, "a", "b")
	setHealth(b, status(500))
	site := func(never string) string {
		return "handle /never* {\n" + policy(addrs(b...), "weighted_random", quick+"\n"+never) + "\n}\n" +
			"handle {\n" + policy(addrs(b...), "weighted_random", quick) + "\n}"
	}
	p := run(t, site("panic_threshold 0"))
	awaitDown(t, b...)
	const entered, left = "panic: too few upstreams are healthy, so verdicts of checks and ejections are ignored", "panic is over: verdicts of checks and ejections count again"
	eventually(t, 5*time.Second, "one panics", func() bool { return logs.count(entered) > 0 })
	for range 3 {
		p.reload(site("panic_threshold 0"))
		if got := p.get("/"); got.status != 200 {
			t.Errorf("the one that panics: %v", got)
		}
		if got := p.get("/never"); got.status != 503 {
			t.Errorf("the one that does not: %v", got)
		}
	}
	p.reload(site("panic_threshold 0\nslow_start 1m"))
	if in, out := logs.count(entered), logs.count(left); in != 1 || out != 0 {
		t.Errorf("entered %d times and left %d times, want once and never", in, out)
	}
	b[0].setHealth(ok)
	eventually(t, 5*time.Second, "it ends", func() bool { return logs.count(left) > 0 })
	setHealth(b, ok)
	holds(t, 300*time.Millisecond, "it ends once", func() bool { return logs.count(left) == 1 && logs.count(entered) == 1 })
}
