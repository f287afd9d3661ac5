package selectors

import (
	"testing"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

type object = pooltest.Object

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

// forAll runs a test for all policies, each in a bubble of its own.
func forAll(t *testing.T, test func(t *testing.T, config object)) {
	for name, policy := range policies {
		t.Run(name, func(t *testing.T) {
			pooltest.Test(t, func(t *testing.T) { test(t, policy.config) })
		})
	}
}
