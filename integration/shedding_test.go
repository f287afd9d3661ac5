package integration

import (
	"net/http"
	"testing"
	"time"
)

// TestAnUpstreamThatShedsLoadIsSpared has one of four ask to be spared for a
// while: by 429, or by 503 with Retry-After.
func TestAnUpstreamThatShedsLoadIsSpared(t *testing.T) {
	if forked(t) {
		return
	}
	const spared = 2 * time.Second
	for _, code := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		t.Run(http.StatusText(code), func(t *testing.T) {
			b := backends(t, "a", "b", "c", "sheds")
			setAll(b, working)
			p := run(t, policy(addrs(b...), "peak_ewma", "outlier_detection {\n consecutive_5xx 2\n consecutive_gateway_failures 2\n}"))
			l := p.load(300)
			eventually(t, 5*time.Second, "all get traffic", func() bool { return l.answers("sheds") > 20 })
			b[3].set(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", "2")
				w.WriteHeader(code)
			})
			eventually(t, 2*time.Second, "it sheds", func() bool { return l.so().failures() > 0 })
			shed := time.Now()
			l.last(50 * time.Millisecond)
			b[3].set(working)
			eventually(t, 10*time.Second, "it is back", func() bool { return l.so().between(shed.Add(spared), time.Time{}).share("sheds") > 0.15 })
			counts := l.stop()
			t.Log(counts)
			if n := counts.failures(); n > 20 {
				t.Errorf("%d requests were shed", n)
			}
			while := l.history.between(shed.Add(100*time.Millisecond), shed.Add(spared-100*time.Millisecond))
			t.Logf("while it is spared, it gets %.1f %% of %d requests", 100*while.share("sheds"), len(while))
			if while.share("sheds") > 0.02 {
				t.Errorf("it asked to be spared and got %.1f %% of %d requests", 100*while.share("sheds"), len(while))
			}
			if n := logs.count("upstream is ejected"); n != 0 {
				t.Errorf("%d ejections", n)
			}
		})
	}
}
