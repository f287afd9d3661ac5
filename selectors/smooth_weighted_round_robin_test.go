package selectors

import (
	"strings"
	"testing"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

func TestOrderIsNGINXs(t *testing.T) {
	h := pooltest.NewHandler(t, object{"policy": "smooth_weighted_round_robin", "weights": object{pooltest.Dial(0): 5}}, 3)
	var got strings.Builder
	for range 14 {
		address := pooltest.Pick(h, h.Upstreams, pooltest.NewRequest())
		for i := range 3 {
			if address == pooltest.Dial(i) {
				got.WriteByte(byte('a' + i))
			}
		}
	}
	if got.String() != "aabacaaaabacaa" {
		t.Errorf("%s", got.String())
	}
}

func TestFlipNeitherRepeatsNorSkipsATurn(t *testing.T) {
	pooltest.Test(t, func(t *testing.T) {
		h := pooltest.NewHandler(t, pooltest.With(object{"policy": "smooth_weighted_round_robin"}, pooltest.Checked), 5)
		expect := func(when string, want ...int) {
			t.Helper()
			for _, i := range want {
				if got := pooltest.Pick(h, h.Upstreams, pooltest.NewRequest()); got != pooltest.Dial(i) {
					t.Fatalf("%s: picked %s, want %s", when, got, pooltest.Dial(i))
				}
			}
		}
		expect("at first", 0, 1)
		pooltest.SetDown(pooltest.Dial(4))
		expect("e is out: c and d come next", 2, 3, 0, 1)
		pooltest.SetDown(pooltest.Dial(2))
		expect("c is out, and e back, who is owed no more than others", 3)
	})
}

func TestLargePoolTakesTurnsByStride(t *testing.T) {
	h := pooltest.NewHandler(t, object{"policy": "smooth_weighted_round_robin", "weights": object{pooltest.Dial(7): 20}}, 3000)
	got := pooltest.Picks(h, h.Upstreams, 4*(3000+19))
	for i := range 3000 {
		want := 4
		if i == 7 {
			want = 80
		}
		if n := got[pooltest.Dial(i)]; n < want-2 || n > want+2 {
			t.Errorf("%s got %d turns, want %d", pooltest.Dial(i), n, want)
		}
	}
}

// Each set of dynamic upstreams takes turns by itself.
func TestSourcesThatAnswerByRequestKeepApart(t *testing.T) {
	pooltest.Test(t, func(t *testing.T) {
		h := pooltest.NewHandler(t, object{"policy": "smooth_weighted_round_robin"}, 0)
		for range 30 { // each in turn, for both sets by themselves
			for _, set := range [][]int{{1, 2, 3}, {7, 8}} {
				seen := make(map[string]bool)
				for range set {
					seen[pooltest.Pick(h, pooltest.Upstreams(set...), pooltest.NewRequest())] = true
				}
				if len(seen) != len(set) {
					t.Fatalf("set %v: %v", set, seen)
				}
			}
		}
		for i := range 3000 { // more sets than are kept
			if got := pooltest.Pick(h, pooltest.Upstreams(i, i+1), pooltest.NewRequest()); got == pooltest.None {
				t.Fatalf("nothing picked of set %d", i)
			}
		}
	})
}
