package pool_test

import (
	"testing"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

func TestRetrySame(t *testing.T) {
	pooltest.Isolate()
	h := pooltest.NewScripted(t, pooltest.With(pooltest.InOrder, object{"retry_same": true}), 2)
	pooltest.Script(pooltest.Dial(0), pooltest.Refuse)
	r := pooltest.NewRequest()
	for range 3 {
		if got := pooltest.Pick(h, h.Upstreams, r); got != pooltest.Dial(0) {
			t.Fatalf("picked %s", got)
		}
		pooltest.Attempt(h, r, h.Upstreams[0])
	}
}

func TestRetriesDefaultToTwo(t *testing.T) {
	for name, test := range map[string]struct {
		lb   object
		want int
	}{
		"nothing set":     {object{}, 2 + 8}, // Caddy asks more often for requests that are held
		"lb_retries":      {object{"retries": 5}, 5 + 8},
		"lb_try_duration": {object{"try_duration": "1s"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := pooltest.LoadHandler(t, object{
				"load_balancing": pooltest.With(test.lb, object{"selection_policy": pooltest.ByWeight}),
				"upstreams":      []object{{"dial": pooltest.Dial(0)}},
			})
			if got := h.LoadBalancing.Retries; got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

func TestRetriesOption(t *testing.T) {
	config := func(lb object, retries int) object {
		return object{
			"load_balancing": pooltest.With(lb, object{"selection_policy": object{"policy": "by_weight", "retries": retries}}),
			"upstreams":      []object{{"dial": pooltest.Dial(0)}},
		}
	}
	for n, want := range map[int]int{0: 0, 1: 1 + 8, 7: 7 + 8} {
		if got := pooltest.LoadHandler(t, config(nil, n)).LoadBalancing.Retries; got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
	if _, err := pooltest.TryHandler(t, config(object{"retries": 3}, 2)); err == nil {
		t.Error("retries beside lb_retries was accepted")
	}
}
