package selectors

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/request"
)

// answered is what became of a request.
type answered struct {
	picked     string
	retryAfter string
}

// come lets a request come, and returns where to hear what became of it.
func come(h *reverseproxy.Handler, r *http.Request) <-chan answered {
	done := make(chan answered, 1)
	go func() {
		w := httptest.NewRecorder()
		u := h.LoadBalancing.SelectionPolicy.Select(h.Upstreams, r, w)
		a := answered{none, w.Header().Get("Retry-After")}
		if u != nil {
			a.picked = u.Dial
		}
		done <- a
	}()
	synctest.Wait()
	return done
}

// mute reports whether the policy is inside one of Caddy's that leaves those inside
// without the response, so that they cannot say when to come again.
func mute(t *testing.T) bool {
	return strings.HasSuffix(t.Name(), "_inside_header") || strings.HasSuffix(t.Name(), "_inside_query")
}

// expectRefused expects that a request has been told to come again.
func expectRefused(t *testing.T, when string, done <-chan answered) {
	t.Helper()
	after := "1"
	if mute(t) {
		after = ""
	}
	select {
	case got := <-done:
		if got.picked != none || got.retryAfter != after {
			t.Errorf("%s: %+v", when, got)
		}
	default:
		t.Errorf("%s: it still waits", when)
	}
}

func TestFullQueueRefusesAtOnceAndOnRetries(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := queued(t, config, object{"length": 1, "timeout": "10s"}, 1, 1)
		busy(h.Upstreams[0], 1)
		waits, end := ending(newRequest())
		waiting := come(h, waits)
		r := newRequest()
		expectRefused(t, "the queue is full", come(h, r))
		for range 3 {
			expectRefused(t, "a retry", come(h, r))
		}
		busy(h.Upstreams[0], 0)
		time.Sleep(20 * time.Millisecond)
		if got := <-waiting; got.picked != dial(0) || got.retryAfter != "" {
			t.Errorf("there is room for the request that has waited: %+v", got)
		}
		end()
		synctest.Wait()
		expectRefused(t, "a retry, although there is room", come(h, r))
	})
}

func TestQueueTimeout(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := queued(t, config, object{"length": 5, "timeout": "10s"}, 1, 1)
		busy(h.Upstreams[0], 1)
		r := newRequest()
		first, second := come(h, r), come(h, newRequest())
		time.Sleep(10*time.Second - 1)
		synctest.Wait()
		if len(first)+len(second) > 0 {
			t.Error("refused before the timeout")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		expectRefused(t, "first in the queue", first)
		expectRefused(t, "second in the queue", second)
		expectRefused(t, "a retry", come(h, r))
		if ms, _ := request.Replacer(r).Get("http.load_balancer.queue_wait_ms"); ms != 10_000.0 {
			t.Errorf("it says that it has waited for %v ms", ms)
		}
	})
}

func TestClientThatLeavesTheQueueMakesWay(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := queued(t, config, object{"length": 5}, 1, 1)
		busy(h.Upstreams[0], 1)
		var all []<-chan answered
		var leave []context.CancelFunc
		for range 3 {
			r := newRequest()
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			leave = append(leave, cancel)
			all = append(all, come(h, r.WithContext(ctx)))
		}
		leave[1]()
		leave[0]()
		for i := range 2 {
			if got := <-all[i]; got.picked != none || got.retryAfter != "" {
				t.Errorf("it has left, and nobody hears it: %+v", got)
			}
		}
		busy(h.Upstreams[0], 0)
		if got := <-all[2]; got.picked != dial(0) {
			t.Errorf("the one that stays: %+v", got)
		}
	})
}

// What one handler has set on the response, another one takes back.
func TestRetryAfterIsTakenBackByALaterPick(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		if mute(t) {
			t.Skip("has no response to take it from")
		}
		full := queued(t, object{"policy": "weighted_random"}, object{"length": 1, "timeout": "1s"}, 1, 1)
		busy(full.Upstreams[0], 1)
		r, w := newRequest(), httptest.NewRecorder()
		if full.LoadBalancing.SelectionPolicy.Select(full.Upstreams, r, w) != nil || w.Header().Get("Retry-After") != "1" {
			t.Fatalf("%v", w.Header())
		}
		isolate()
		h := staged(t, config, 2)
		if h.LoadBalancing.SelectionPolicy.Select(h.Upstreams, r, w) == nil || w.Header().Get("Retry-After") != "" {
			t.Errorf("%v", w.Header())
		}
		w.Header().Set("Retry-After", "7") // of somebody else's
		if h.LoadBalancing.SelectionPolicy.Select(h.Upstreams, r, w) == nil || w.Header().Get("Retry-After") != "7" {
			t.Errorf("%v", w.Header())
		}
		isolate()
	})
}

// Where nobody is to be waited for, nobody waits.
func TestQueueIsForTheFullOnly(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := queued(t, with(config, with(checked, object{"panic_threshold": 0})), object{"length": 5}, 2, 1)
		setDown(dial(0), dial(1))
		select {
		case got := <-come(h, newRequest()):
			if got.picked != none || got.retryAfter != "" {
				t.Errorf("%+v", got)
			}
		default:
			t.Error("it waits for upstreams that are down")
		}
	})
}
