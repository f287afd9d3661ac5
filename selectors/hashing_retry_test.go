package selectors

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/request"
	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// journal notes where attempts go.
type journal struct {
	sync.Mutex
	visited []string
}

// refusing returns an act that notes the attempt and does not answer.
func (j *journal) refusing(then func(r *http.Request)) pooltest.Act {
	return func(r *http.Request) (*http.Response, error) {
		dial, _ := reverseproxy.GetDialInfo(r.Context())
		j.Lock()
		j.visited = append(j.visited, dial.Upstream.Dial)
		j.Unlock()
		then(r)
		return pooltest.Refuse(r)
	}
}

// retried returns where the request's attempts go, all of which fail.
func retried(t *testing.T, h *reverseproxy.Handler, r *http.Request, then func(r *http.Request)) []string {
	t.Helper()
	var j journal
	for _, u := range h.Upstreams {
		pooltest.Script(u.Dial, j.refusing(then))
	}
	if err := h.ServeHTTP(httptest.NewRecorder(), r, nil); err == nil {
		t.Fatal("somebody answered")
	}
	return j.visited
}

func nothing(*http.Request) {}

// The proxy changes headers on the way to an upstream; a retry goes by what the
// client has sent.
func TestRetryHashesWhatTheClientSent(t *testing.T) {
	const n = 8
	config := func(config object, header object) object {
		return object{
			"load_balancing": object{"selection_policy": pooltest.With(config, object{"retries": n - 1, "outlier_detection": object{"off": true}})},
			"transport":      object{"protocol": "scripted"},
			"headers":        object{"request": header},
			"upstreams":      pooltest.Dials(n),
		}
	}
	forKeys(t, func(t *testing.T, policy object) {
		pooltest.NewScripted(t, policy, 0) // so that acts end with the test
		plain := pooltest.LoadHandler(t, config(policy, nil))
		mutating := pooltest.LoadHandler(t, config(policy, object{"set": object{"X-User": []string{"everybody"}}}))
		for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
			want := retried(t, plain, pooltest.ServerRequest("/", "X-User", name), nothing)
			got := retried(t, mutating, pooltest.ServerRequest("/", "X-User", name), func(r *http.Request) {
				if r.Header.Get("X-User") != "everybody" {
					t.Error("the header was not changed")
				}
			})
			if len(want) != n {
				t.Fatalf("tried %v", want)
			}
			for i := range want {
				if got[i] != want[i] {
					t.Fatalf("tried %v, want %v", got, want)
				}
			}
		}
	})
}

// What a placeholder says may change with the attempts, such as the one that names
// the upstream; the key stays, and none stays none.
func TestKeyIsComputedOnce(t *testing.T) {
	forKeys(t, func(t *testing.T, config object) {
		h := pooltest.NewScripted(t, pooltest.With(config, object{"key": "{http.reverse_proxy.upstream.hostport}{test.key}", "retries": 5}), 6)
		for _, first := range []string{"", "a"} {
			r := pooltest.ServerRequest("/")
			repl := request.Replacer(r)
			repl.Set("test.key", first)
			visited := retried(t, h, r, func(*http.Request) { repl.Set("test.key", "other") })
			if len(visited) != 6 {
				t.Fatalf("tried %v", visited)
			}
			fresh := pooltest.ServerRequest("/")
			request.Replacer(fresh).Set("test.key", first)
			policy := h.LoadBalancing.SelectionPolicy.(based).base()
			want, keyed := policy.handle.Key(fresh)
			if got, _ := policy.handle.Key(r); got != want || keyed != (first != "") {
				t.Errorf("key %q became another", first)
			}
		}
	})
}

// Where a key goes on when its home fails it is the same each time, and differs
// between keys of one home.
func TestRetriesOfOneHomesKeysDiffer(t *testing.T) {
	forKeys(t, func(t *testing.T, config object) {
		h := pooltest.NewScripted(t, pooltest.With(config, object{"retries": 1, "retry_budget": object{"off": true}, "outlier_detection": object{"off": true}}), 6)
		second := make(map[string]map[string]bool)
		for n := range 200 {
			user := fmt.Sprint("user", n)
			visited := retried(t, h, pooltest.ServerRequest("/", "X-User", user), nothing)
			again := retried(t, h, pooltest.ServerRequest("/", "X-User", user), nothing)
			if len(visited) != 2 || visited[0] == visited[1] || visited[1] != again[1] {
				t.Fatalf("tried %v, then %v", visited, again)
			}
			if second[visited[0]] == nil {
				second[visited[0]] = make(map[string]bool)
			}
			second[visited[0]][visited[1]] = true
		}
		for home, to := range second {
			if len(to) < 3 {
				t.Errorf("keys of %s go on to %v", home, to)
			}
		}
	})
}
