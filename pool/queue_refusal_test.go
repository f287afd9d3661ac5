package pool_test

import (
	"context"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-evenkeel/evenkeel/internal/request"
	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// expectRefused expects that a request has been told to come again.
func expectRefused(t *testing.T, when string, done <-chan pooltest.Outcome) {
	t.Helper()
	select {
	case got := <-done:
		if got.Picked != pooltest.None || got.RetryAfter != "1" {
			t.Errorf("%s: %+v", when, got)
		}
	default:
		t.Errorf("%s: it still waits", when)
	}
}

func TestFullQueueRefusesAtOnceAndOnRetries(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h := pooltest.NewQueued(t, policy, object{"length": 1, "timeout": "10s"}, 1, 1)
		pooltest.SetActive(h.Upstreams[0], 1)
		waits, end := pooltest.WithEnd(pooltest.NewRequest())
		waiting := pooltest.Arrive(h, waits)
		r := pooltest.NewRequest()
		expectRefused(t, "the queue is full", pooltest.Arrive(h, r))
		for range 3 {
			expectRefused(t, "a retry", pooltest.Arrive(h, r))
		}
		pooltest.SetActive(h.Upstreams[0], 0)
		time.Sleep(20 * time.Millisecond)
		if got := <-waiting; got.Picked != pooltest.Dial(0) || got.RetryAfter != "" {
			t.Errorf("there is room for the request that has waited: %+v", got)
		}
		end()
		synctest.Wait()
		expectRefused(t, "a retry, although there is room", pooltest.Arrive(h, r))
	})
}

func TestQueueTimeout(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h := pooltest.NewQueued(t, policy, object{"length": 5, "timeout": "10s"}, 1, 1)
		pooltest.SetActive(h.Upstreams[0], 1)
		r := pooltest.NewRequest()
		first, second := pooltest.Arrive(h, r), pooltest.Arrive(h, pooltest.NewRequest())
		time.Sleep(10*time.Second - 1)
		synctest.Wait()
		if len(first)+len(second) > 0 {
			t.Error("refused before the timeout")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		expectRefused(t, "first in the queue", first)
		expectRefused(t, "second in the queue", second)
		expectRefused(t, "a retry", pooltest.Arrive(h, r))
		if ms, _ := request.Replacer(r).Get("http.load_balancer.queue_wait_ms"); ms != 10_000.0 {
			t.Errorf("it says that it has waited for %v ms", ms)
		}
	})
}

func TestClientThatLeavesTheQueueMakesWay(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h := pooltest.NewQueued(t, policy, object{"length": 5}, 1, 1)
		pooltest.SetActive(h.Upstreams[0], 1)
		var all []<-chan pooltest.Outcome
		var leave []context.CancelFunc
		for range 3 {
			r := pooltest.NewRequest()
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			leave = append(leave, cancel)
			all = append(all, pooltest.Arrive(h, r.WithContext(ctx)))
		}
		leave[1]()
		leave[0]()
		for i := range 2 {
			if got := <-all[i]; got.Picked != pooltest.None || got.RetryAfter != "" {
				t.Errorf("it has left, and nobody hears it: %+v", got)
			}
		}
		pooltest.SetActive(h.Upstreams[0], 0)
		if got := <-all[2]; got.Picked != pooltest.Dial(0) {
			t.Errorf("the one that stays: %+v", got)
		}
	})
}

// What one handler has set on the response, another one takes back.
func TestRetryAfterIsTakenBackByALaterPick(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		full := pooltest.NewQueued(t, pooltest.ByWeight, object{"length": 1, "timeout": "1s"}, 1, 1)
		pooltest.SetActive(full.Upstreams[0], 1)
		r, w := pooltest.NewRequest(), httptest.NewRecorder()
		if full.LoadBalancing.SelectionPolicy.Select(full.Upstreams, r, w) != nil || w.Header().Get("Retry-After") != "1" {
			t.Fatalf("%v", w.Header())
		}
		pooltest.Isolate()
		h := pooltest.NewScripted(t, policy, 2)
		if h.LoadBalancing.SelectionPolicy.Select(h.Upstreams, r, w) == nil || w.Header().Get("Retry-After") != "" {
			t.Errorf("%v", w.Header())
		}
		w.Header().Set("Retry-After", "7") // set by another handler
		if h.LoadBalancing.SelectionPolicy.Select(h.Upstreams, r, w) == nil || w.Header().Get("Retry-After") != "7" {
			t.Errorf("%v", w.Header())
		}
		pooltest.Isolate()
	})
}

// A request waits only where an upstream is full.
func TestQueueIsForTheFullOnly(t *testing.T) {
	forBoth(t, func(t *testing.T, policy object) {
		h := pooltest.NewQueued(t, pooltest.With(policy, pooltest.With(pooltest.Checked, object{"panic_threshold": 0, "hold": object{"off": true}})), object{"length": 5}, 2, 1)
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1))
		select {
		case got := <-pooltest.Arrive(h, pooltest.NewRequest()):
			if got.Picked != pooltest.None || got.RetryAfter != "1" {
				t.Errorf("%+v", got)
			}
		default:
			t.Error("it waits for upstreams that are down")
		}
	})
}
