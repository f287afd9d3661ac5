package integration

import (
	"net/http"
	"testing"
	"time"
)

// An upstream that comes with a reload is as fast as the others, as far as anyone
// knows: it does not get all that comes before its first answer.
func TestNewcomerOfAReloadStartsAtTheMean(t *testing.T) {
	b := backends(t, "a", "b", "new")
	for _, backend := range b {
		backend.set(after(200 * time.Millisecond))
	}
	p := run(t, policy(addrs(b[:2]...), "peak_ewma", ""))
	all := func(n int) {
		t.Helper()
		for _, a := range p.send(n, n, func(int) answer { return p.get("/") }) {
			if a.status != http.StatusOK {
				t.Fatal(a)
			}
		}
	}
	all(10)
	p.reload(policy(addrs(b...), "peak_ewma", ""))
	all(30)
	if n := b[2].requests.Load(); n > 15 {
		t.Errorf("the newcomer got %d of 30 requests", n)
	}
}
