package integration

import (
	"math"
	"net/http"
	"syscall"
	"testing"
)

// TestWhatThisMachineLacksIsNobodysFailure has the process run out of file
// descriptors, so that no connection can be made.
func TestWhatThisMachineLacksIsNobodysFailure(t *testing.T) {
	if forked(t) {
		return
	}
	b := backends(t, "a", "b", "c", "d")
	p := run(t, policy(addrs(b...), "smooth_weighted_round_robin", "", "transport http {\n keepalive off\n}"))
	p.sequence(4) // leaves a connection to Caddy, which goes on
	limitFiles(t, 3)
	defer limitFiles(t, math.MaxUint64)
	for range 20 {
		if a := p.do(http.MethodGet, "/", ""); a.status != http.StatusBadGateway {
			t.Errorf("nobody can be reached: %v", a)
		}
	}
	limitFiles(t, math.MaxUint64)
	if n := logs.count("upstream is ejected"); n != 0 {
		t.Errorf("%d upstreams are ejected", n)
	}
	if got, want := p.sequence(4), "a b c d"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// limitFiles lets no further file be opened whose number is as high as given.
func limitFiles(t *testing.T, n uint64) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	limit.Cur = min(n, limit.Max)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
}
