package selectors

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// journey has a request served from start to end, retries included. It returns
// where its attempts went, in turn, and whether one of them was answered.
func journey(h *reverseproxy.Handler, method string) (addresses []string, answered bool) {
	ctx, end := context.WithCancel(context.Background())
	r := asked("/")
	r.Method = method
	r = r.WithContext(contextWith(r.WithContext(joined(ctx, r.Context())), visited{}, &addresses))
	err := h.ServeHTTP(httptest.NewRecorder(), r, nil)
	end()
	synctest.Wait() // what the end of the request tells
	return addresses, err == nil
}

// visited is the key of the list of a request's attempts.
type visited struct{}

// joined has the values of one context and the end of another.
func joined(end, values context.Context) context.Context { return both{end, values} }

type both struct {
	context.Context
	values context.Context
}

func (b both) Value(key any) any {
	if v := b.values.Value(key); v != nil {
		return v
	}
	return b.Context.Value(key)
}

// notes has an upstream note whose attempts come to it.
func notes(does act) act {
	return func(r *http.Request) (*http.Response, error) {
		dial, _ := reverseproxy.GetDialInfo(r.Context())
		list := r.Context().Value(visited{}).(*[]string)
		*list = append(*list, dial.Upstream.Dial)
		return does(r)
	}
}

var errReset = errors.New("connection reset by peer")

// reset is to end the connection without an answer.
func reset(*http.Request) (*http.Response, error) { return nil, errReset }

// cast gives an act to each of the upstreams.
func cast(does act, addresses ...string) {
	for _, address := range addresses {
		play(address, notes(does))
	}
}

// out provisions a handler of n upstreams of which all but one are ejected, for a
// long time, by five failed dials each.
func out(t *testing.T, policy object, n int) (h *reverseproxy.Handler, ejected []string, last string) {
	t.Helper()
	h = staged(t, with(policy, longEjections), n)
	for range n - 1 {
		victim := choice(h)
		failUntil(t, h, victim, refuse, tries(victim)+5)
		ejected = append(ejected, victim)
		play(victim, nil)
	}
	last = choice(h)
	if slices.Contains(ejected, last) {
		t.Fatalf("%s is ejected, and picked", last)
	}
	return h, ejected, last
}

// Two that have restarted are ejected still when the third one dies.
func TestRetryGoesToTheEjectedBeforeItFails(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h, ejected, last := out(t, config, 3)
		cast(answer(http.StatusOK), ejected...)
		cast(refuse, last)
		for n := range 60 {
			if at, ok := journey(h, http.MethodGet); !ok {
				t.Fatalf("request %d failed: %v", n, at)
			}
		}
	})
}

// The last upstream is never ejected, but once it fails every attempt, first
// attempts go to the ejected. One of those that answers is back, and then the
// last one may be ejected.
func TestFirstAttemptAvoidsTheLastUpstreamThatFails(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h, ejected, last := out(t, config, 3)
		cast(refuse, append(ejected, last)...)
		for range 20 {
			journey(h, http.MethodPost)
		}
		cast(answer(http.StatusOK), ejected...)
		for n := range 60 {
			if at, ok := journey(h, http.MethodPost); !ok || len(at) != 1 || at[0] == last {
				t.Fatalf("request %d: %v, answered %t; %s fails", n, at, ok, last)
			}
		}
	})
}

// Three that leave their ejection together are not tried by one and the same
// request while a fourth is well.
func TestRetryTestsNobodyOnProbation(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h, ejected, last := out(t, config, 4)
		cast(refuse, ejected...)
		cast(answer(http.StatusOK), last)
		time.Sleep(time.Hour)
		synctest.Wait()
		for range 10 {
			at, ok := journey(h, http.MethodGet)
			if !ok || len(at) > 2 || at[len(at)-1] != last {
				t.Fatalf("%v, answered %t; %s is well", at, ok, last)
			}
		}
	})
}

// Where all others have failed it, a request may have those that a check holds to
// be unhealthy, unless verdicts are never to be ignored.
func TestRetryGoesToTheUnhealthyBeforeItFails(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		config = with(config, checked)
		for threshold, served := range map[any]bool{nil: true, 0: false} {
			policy := config
			if threshold != nil {
				policy = with(config, object{"panic_threshold": threshold})
			}
			h := staged(t, policy, 2)
			setDown(dial(0))
			cast(answer(http.StatusOK), dial(0))
			cast(refuse, dial(1))
			if at, ok := journey(h, http.MethodGet); ok != served || at[0] != dial(1) {
				t.Errorf("panic_threshold %v: %v, answered %t", threshold, at, ok)
			}
			setDown()
		}
	})
}

// What one request cannot have been sent twice is not: an upstream that has begun
// to serve it does not get it again.
func TestRetryRepeatsOnlyWhereNothingWasSent(t *testing.T) {
	forAll(t, func(t *testing.T, config object) {
		h := staged(t, with(config, object{"retries": 4, "outlier_detection": object{"off": true}}), 2)
		cast(refuse, dial(0))
		cast(reset, dial(1))
		at, ok := journey(h, http.MethodGet)
		first := slices.DeleteFunc(slices.Clone(at), func(a string) bool { return a == dial(1) })
		if ok || len(at) != 5 || len(first) != 4 {
			t.Errorf("attempts on %v, answered %t; the second has had the request, the first has not", at, ok)
		}
	})
}
