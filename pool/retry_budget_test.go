package pool_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

var off = pooltest.Object{"off": true}

// budget is the option as JSON.
func budget(percent, perSecond int) pooltest.Object {
	return pooltest.Object{"retry_budget": pooltest.Object{"percent": percent, "per_second": perSecond}}
}

// scriptEach has the first n upstreams act so.
func scriptEach(n int, act pooltest.Act) {
	for i := range n {
		pooltest.ScriptAll(act, pooltest.Dial(i))
	}
}

// serveAll has n requests served one after another, and returns how many attempts
// there were, and how many requests were answered.
func serveAll(h *reverseproxy.Handler, n int) (attempts, answered int) {
	for range n {
		at, ok := pooltest.ServeInTurn(h, http.MethodGet)
		attempts += len(at)
		if ok {
			answered++
		}
	}
	return attempts, answered
}

func TestRetryThatIsNotMadeCostsNothing(t *testing.T) {
	pooltest.Test(t, func(t *testing.T) {
		config := pooltest.With(pooltest.ByWeight, pooltest.Object{"outlier_detection": off, "max_requests": pooltest.Object{pooltest.Dial(1): 1}})
		h := pooltest.NewScripted(t, pooltest.With(config, budget(0, 1)), 2)
		scriptEach(2, pooltest.Reset)
		pooltest.SetActive(h.Upstreams[1], 1)
		if got, _ := serveAll(h, 50); got != 50 {
			t.Errorf("the other one is full: %d attempts for 50 requests", got)
		}
		pooltest.SetActive(h.Upstreams[1], 0)
		if got, _ := serveAll(h, 50); got != 60 {
			t.Errorf("it is free again: %d attempts for 50 requests, want 10 retries", got)
		}
	})
}

// When all fail, they are asked 1.2 times as often as clients ask, and 10 times a
// second more: not three times as often.
func TestOutageIsNotAmplified(t *testing.T) {
	pooltest.Test(t, func(t *testing.T) {
		h := pooltest.NewScripted(t, pooltest.ByWeight, 10)
		serve := func(d time.Duration) (requests, attempts int) {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
				at, _ := pooltest.ServeInTurn(h, http.MethodGet)
				requests, attempts = requests+1, attempts+len(at)
			}
			return requests, attempts
		}
		serve(15 * time.Second)
		scriptEach(10, pooltest.Reset)
		requests, attempts := serve(30 * time.Second)
		if requests < 10_000 || float64(attempts) > 1.2*float64(requests)+300 {
			t.Errorf("%d attempts for %d requests", attempts, requests)
		}
		t.Logf("%d attempts for %d requests", attempts, requests)
	})
}

// One dead upstream of ten does not use up the budget before it is ejected.
func TestOneDeadUpstreamLeavesRoomInTheBudget(t *testing.T) {
	for name, act := range map[string]pooltest.Act{"unreachable": pooltest.Refuse, "resets": pooltest.Reset} {
		t.Run(name, func(t *testing.T) {
			pooltest.Test(t, func(t *testing.T) {
				h := pooltest.NewScripted(t, pooltest.ByWeight, 10)
				scriptEach(1, act)
				if _, answered := serveAll(h, 1000); answered != 1000 {
					t.Errorf("%d of 1000 were answered", answered)
				}
				if got := inService(h); got != 9 {
					t.Errorf("%d of 10 are in service, want 9", got)
				}
			})
		})
	}
}

// A refused retry proves nothing: the failure is nobody's. One to connect counts all
// the same.
func TestRefusedRetryProvesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		act  pooltest.Act
		left int
	}{"resets": {pooltest.Reset, 10}, "unreachable": {pooltest.Refuse, 9}} {
		t.Run(name, func(t *testing.T) {
			pooltest.Test(t, func(t *testing.T) {
				h := pooltest.NewScripted(t, pooltest.With(pooltest.ByWeight, budget(0, 0)), 10)
				scriptEach(1, c.act)
				if attempts, answered := serveAll(h, 300); attempts != 300 || answered == 300 {
					t.Fatalf("%d attempts, %d answered", attempts, answered)
				}
				if got := inService(h); got != c.left {
					t.Errorf("%d of 10 are in service, want %d", got, c.left)
				}
			})
		})
	}
}

// A reload does not fill the budget, and brings its own limit.
func TestBudgetOutlivesAReload(t *testing.T) {
	pooltest.Test(t, func(t *testing.T) {
		config := pooltest.With(pooltest.ByWeight, pooltest.Object{"outlier_detection": off})
		load := func(options pooltest.Object) *reverseproxy.Handler {
			h := pooltest.NewScripted(t, pooltest.With(config, options), 10)
			scriptEach(10, pooltest.Reset)
			return h
		}
		for _, c := range []struct {
			when    string
			options pooltest.Object
			want    int
		}{
			{"at first", budget(0, 1), 60},
			{"loaded again", budget(0, 1), 50},
			{"with a higher limit", budget(0, 2), 60},
			{"with a share", budget(10, 2), 70}, // of 200 requests so far
			{"off", pooltest.Object{"retry_budget": off}, 150},
		} {
			h := load(c.options)
			if got, _ := serveAll(h, 50); got != c.want {
				t.Errorf("%s: %d attempts, want %d", c.when, got, c.want)
			}
		}
	})
}
