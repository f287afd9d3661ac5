package selectors

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-evenkeel/evenkeel/internal/request"
	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

func init() { caddy.RegisterModule(new(prompt)) }

// prompt is a transport that answers at once.
type prompt struct{}

func (*prompt) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.reverse_proxy.transport.prompt", New: func() caddy.Module { return new(prompt) }}
}

func (*prompt) RoundTrip(*http.Request) (*http.Response, error) { return prompted, nil }

var prompted = &http.Response{StatusCode: http.StatusOK, ProtoMajor: 1, Header: make(http.Header), Body: http.NoBody}

// BenchmarkHash compares the policies that pick by a key with Caddy's own, in one
// run:
//
//   - state=whole: each pick is a request's first;
//   - state=computed: the request's key is known;
//   - state=attempted: likewise, and an attempt follows, as picks without one count
//     for a second where there is a bound.
//
// To run it:
//
//	go test -run '^$' -bench Hash ./selectors
func BenchmarkHash(b *testing.B) {
	caddys := []object{
		{"policy": "ip_hash"},
		{"policy": "uri_hash"},
		{"policy": "header", "field": "X-User"},
		{"policy": "cookie"},
	}
	var boundeds []object
	for _, policy := range byUser {
		boundeds = append(boundeds, pooltest.With(policy, object{"balance_factor": 125}))
	}
	for _, group := range []struct {
		state    string
		policies []object
	}{
		{"whole", slices.Concat(caddys, byUser)},
		{"computed", byUser},
		{"attempted", slices.Concat(byUser, boundeds)},
	} {
		for _, n := range []int{4, 16, 128, 1024, 10_000} {
			for _, policy := range group.policies {
				name := fmt.Sprintf("state=%s/upstreams=%d/policy=%s", group.state, n, policy["policy"])
				if policy["balance_factor"] != nil {
					name += "_bounded"
				}
				b.Run(name, func(b *testing.B) { benchmarkHash(b, policy, n, group.state) })
			}
		}
	}
}

func benchmarkHash(b *testing.B, policy object, n int, state string) {
	h := pooltest.LoadHandler(b, object{
		"load_balancing": object{"selection_policy": policy},
		"transport":      object{"protocol": "prompt"},
		"upstreams":      pooltest.Dials(n),
	})
	selector := h.LoadBalancing.SelectionPolicy
	attempts := make(map[string]*http.Request)
	for _, u := range h.Upstreams {
		attempts[u.Dial] = pooltest.Directed(pooltest.NewRequest(), u)
	}
	const users = 1024
	sets := make([][]*http.Request, runtime.GOMAXPROCS(0))
	for i := range sets {
		for n := range users {
			r := benchRequest(n)
			selector.Select(h.Upstreams, r, &discard{make(http.Header)})
			sets[i] = append(sets[i], r)
		}
	}
	stored := kept(selector)
	var set atomic.Int32
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		requests := sets[set.Add(1)-1]
		w := &discard{make(http.Header)}
		for i := 0; pb.Next(); i++ {
			r := requests[i%users]
			if state == "whole" && stored != "" {
				request.Replacer(r).Delete(stored)
			}
			u := selector.Select(h.Upstreams, r, w)
			if u == nil {
				b.Error("no upstream")
			}
			if state == "attempted" {
				_, _ = h.Transport.RoundTrip(attempts[u.Dial])
			}
			clear(w.header)
		}
	})
}

// kept tells where in a request's replacer the policy keeps the key.
func kept(selector any) string {
	switch p := selector.(type) {
	case *Rendezvous:
		return p.stored
	case *Maglev:
		return p.stored
	case *RingHash:
		return p.stored
	}
	return ""
}

// benchRequest returns a request with all that policies pick by.
func benchRequest(i int) *http.Request {
	user := fmt.Sprint("user", i)
	r := pooltest.NewRequest()
	r.RemoteAddr = fmt.Sprintf("192.0.%d.%d:1234", i>>8, i&0xff)
	r.RequestURI = "/" + user
	r.Header.Set("X-User", user)
	r = r.WithContext(context.WithValue(r.Context(), caddyhttp.VarsCtxKey, map[string]any{
		caddyhttp.ClientIPVarKey: fmt.Sprintf("192.0.%d.%d", i>>8, i&0xff), caddyhttp.TrustedProxyVarKey: false,
	}))
	caddyhttp.NewTestReplacer(r)
	return r
}

// Whether heavy keys are known or not, and whether there is a bound or not, a pick
// whose key is computed allocates nothing.
func TestPickOfComputedKeyAllocatesNothing(t *testing.T) {
	for _, config := range byUser {
		for _, n := range []int{4, 1000} {
			h := pooltest.NewHandler(t, config, n)
			requests := []*http.Request{benchRequest(1), benchRequest(2), benchRequest(3)}
			i := 0
			least := math.Inf(1)
			for range 3 { // the count is the process's: a build in the background adds to it
				least = min(least, testing.AllocsPerRun(200, func() {
					if h.LoadBalancing.SelectionPolicy.Select(h.Upstreams, requests[i%3], nil) == nil {
						t.Error("nothing picked")
					}
					i++
				}))
			}
			if least >= 1 {
				t.Errorf("%s of %d: %v allocations", config["policy"], n, least)
			}
		}
	}
}
