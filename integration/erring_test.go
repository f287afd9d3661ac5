package integration

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestWhenABackendErrs(t *testing.T) {
	t.Parallel() // its subtests are in processes of their own
	for _, name := range []string{"peak_ewma", "least_request", "weighted_random"} {
		for _, code := range []int{http.StatusServiceUnavailable, http.StatusInternalServerError} {
			if code != http.StatusServiceUnavailable && !*long && name != "peak_ewma" {
				continue
			}
			t.Run(name+" "+http.StatusText(code), func(t *testing.T) {
				if !forked(t) {
					oneOfTenErrs(t, name, code)
				}
			})
		}
	}
}

// oneOfTenErrs has one of ten answer with the code at once, while the others take
// their time.
func oneOfTenErrs(t *testing.T, name string, code int) {
	b := backends(t, strings.Split("abcdefghij", "")...)
	setAll(b, working)
	b[0].set(status(code))
	p := run(t, policy(addrs(b...), name, "retries 0\n outlier_detection"))
	l := p.load(atLength(300, 600))
	l.last(atLength(2500*time.Millisecond, 40*time.Second))
	t.Log(l.stop())
	second := func(n int) time.Time { return l.began.Add(time.Duration(n) * time.Second) }
	t.Logf("in the first second: %d errors", l.history.between(second(0), second(1)).failures())
	for n := 1; ; n++ {
		some := l.history.between(second(n), second(n+1))
		if len(some) == 0 {
			break
		}
		if failed := some.failures(); failed*100 >= len(some) {
			t.Errorf("second %d: %d of %d requests failed, want less than 1 %%", n+1, failed, len(some))
		}
	}
}
