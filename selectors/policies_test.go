package selectors

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
)

func init() { caddy.RegisterModule(new(switchboard)) }

// switchboard is a checker that fails for the upstreams that are switched off.
type switchboard struct{}

var board = struct {
	sync.Mutex
	down   map[string]bool
	probes map[string]int
}{down: map[string]bool{}, probes: map[string]int{}}

func (*switchboard) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: healthcheck.Namespace + ".switchboard", New: func() caddy.Module { return new(switchboard) }}
}

func (*switchboard) Check(_ context.Context, t healthcheck.Target) error {
	board.Lock()
	defer board.Unlock()
	board.probes[t.Upstream]++
	if board.down[t.Upstream] {
		return errors.New("switched off")
	}
	return nil
}

// setDown switches off just these upstreams, and lets the checks notice.
func setDown(upstreams ...string) {
	switchOff(upstreams...)
	time.Sleep(10 * time.Second) // of the bubble's clock
	synctest.Wait()
}

// switchOff switches off just these upstreams.
func switchOff(upstreams ...string) {
	board.Lock()
	defer board.Unlock()
	clear(board.down)
	for _, u := range upstreams {
		board.down[u] = true
	}
}

// resetProbes has the switchboard count from zero.
func resetProbes() {
	board.Lock()
	defer board.Unlock()
	clear(board.probes)
}

// policies are all of ours, in all of their shapes.
var policies = map[string]struct {
	config   object
	weighted bool // by shares, when nothing is in flight
	even     bool // equal shares, when nothing is in flight and weights are equal
}{
	"smooth_weighted_round_robin": {object{"policy": "smooth_weighted_round_robin"}, true, true},
	"weighted_random":             {object{"policy": "weighted_random"}, true, true},
	"least_request":               {object{"policy": "least_request"}, true, true},
	"least_request all":           {object{"policy": "least_request", "all": true}, true, true},
	"least_request bias 0":        {object{"policy": "least_request", "bias": 0}, true, true},
	"peak_ewma":                   {object{"policy": "peak_ewma"}, true, true},
	"managed round_robin":         {object{"policy": "managed", "inner": object{"policy": "round_robin"}}, false, true},
	"managed random":              {object{"policy": "managed", "inner": object{"policy": "random"}}, false, true},
	"managed first":               {object{"policy": "managed", "inner": object{"policy": "first"}}, false, false},
	"managed ip_hash":             {object{"policy": "managed", "inner": object{"policy": "ip_hash"}}, false, false},
	"managed cookie":              {object{"policy": "managed", "inner": object{"policy": "cookie"}}, false, true},
	"managed weighted_random":     {object{"policy": "managed", "inner": object{"policy": "weighted_random"}}, false, true},
	"random inside managed inside managed": {object{"policy": "managed", "inner": object{
		"policy": "managed", "inner": object{"policy": "random"},
	}}, false, true},
	"managed header with weighted_random": {object{"policy": "managed", "inner": inHeader(object{"policy": "weighted_random"})}, false, true},
	"rendezvous by nothing":               {object{"policy": "rendezvous", "key": "{http.request.header.X-None}"}, true, true},
	"maglev by client":                    {object{"policy": "maglev", "key": "{http.request.remote.host}"}, false, false},
	"ring_hash with a bound":              {object{"policy": "ring_hash", "key": "{http.request.remote.host}", "balance_factor": 150}, false, false},
	"sticky":                              {object{"policy": "sticky"}, true, true},
	"sticky with managed by learning":     {object{"policy": "managed", "inner": object{"policy": "sticky", "learn": []string{"SID"}, "fallback": object{"policy": "least_request"}}}, false, true},
	"managed maglev":                      {object{"policy": "managed", "inner": object{"policy": "maglev", "key": "{http.request.remote.host}"}}, false, false},
	"peak_ewma inside header":             {inHeader(object{"policy": "peak_ewma"}), true, true},
	"managed cookie inside header":        {inHeader(object{"policy": "managed", "inner": object{"policy": "cookie"}}), false, true},
	"weighted_random inside query":        {object{"policy": "query", "key": "q", "fallback": object{"policy": "weighted_random"}}, true, true},
}

// inHeader makes the policy what one of Caddy's falls back on, always.
func inHeader(policy object) object {
	return object{"policy": "header", "field": "X-Missing", "fallback": policy}
}

// with returns a copy of the policy's configuration with options added.
func with(config object, options object) object {
	if inner, ok := config["fallback"].(object); ok {
		return with(object{"policy": config["policy"], "field": config["field"], "key": config["key"]},
			object{"fallback": with(inner, options)})
	}
	merged := object{}
	for _, from := range []object{config, options} {
		for k, v := range from {
			if v != nil {
				merged[k] = v
			}
		}
	}
	return merged
}

var checked = object{"health_checks": []object{{"interval": "1s", "checker": object{"type": "switchboard"}}}}

// forAll runs a test for all policies, each in a bubble of its own.
func forAll(t *testing.T, test func(t *testing.T, config object)) {
	for name, policy := range policies {
		t.Run(name, func(t *testing.T) {
			isolate()
			synctest.Test(t, func(t *testing.T) { test(t, policy.config) })
		})
	}
}

// picks counts n picks by dial address, the one for nil under none.
func picks(h *reverseproxy.Handler, upstreams []*reverseproxy.Upstream, n int) map[string]int {
	counts := make(map[string]int)
	for range n {
		counts[pick(h, upstreams, newRequest())]++
	}
	return counts
}

const none = "none"

// choice returns the upstream that a request would meet now. It ends without an
// attempt. The test runs under synctest.
func choice(h *reverseproxy.Handler) string {
	r, end := ending(newRequest())
	defer synctest.Wait()
	defer end()
	return pick(h, h.Upstreams, r)
}

func pick(h *reverseproxy.Handler, upstreams []*reverseproxy.Upstream, r *http.Request) string {
	if u := h.LoadBalancing.SelectionPolicy.Select(upstreams, r, nil); u != nil {
		return u.Dial
	}
	return none
}
