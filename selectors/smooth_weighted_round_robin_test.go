package selectors

import (
	"strings"
	"testing"
	"testing/synctest"
)

func TestOrderIsNGINXs(t *testing.T) {
	h := newHandler(t, object{"policy": "smooth_weighted_round_robin", "weights": object{dial(0): 5}}, 3)
	var got strings.Builder
	for range 14 {
		address := pick(h, h.Upstreams, newRequest())
		for i := range 3 {
			if address == dial(i) {
				got.WriteByte(byte('a' + i))
			}
		}
	}
	if got.String() != "aabacaaaabacaa" {
		t.Errorf("%s", got.String())
	}
}

func TestFlipNeitherRepeatsNorSkipsATurn(t *testing.T) {
	isolate()
	synctest.Test(t, func(t *testing.T) {
		h := newHandler(t, with(object{"policy": "smooth_weighted_round_robin"}, checked), 5)
		expect := func(when string, want ...int) {
			t.Helper()
			for _, i := range want {
				if got := pick(h, h.Upstreams, newRequest()); got != dial(i) {
					t.Fatalf("%s: picked %s, want %s", when, got, dial(i))
				}
			}
		}
		expect("at first", 0, 1)
		setDown(dial(4))
		expect("e is out: c and d come next", 2, 3, 0, 1)
		setDown(dial(2))
		expect("c is out, and e back, who is owed no more than others", 3)
	})
}

func TestLargePoolTakesTurnsByStride(t *testing.T) {
	h := newHandler(t, object{"policy": "smooth_weighted_round_robin", "weights": object{dial(7): 20}}, 3000)
	got := picks(h, h.Upstreams, 4*(3000+19))
	for i := range 3000 {
		want := 4
		if i == 7 {
			want = 80
		}
		if n := got[dial(i)]; n < want-2 || n > want+2 {
			t.Errorf("%s got %d turns, want %d", dial(i), n, want)
		}
	}
}
