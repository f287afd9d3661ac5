package selectors

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// What the Caddyfile's parser rejects is rejected in JSON, too.
func TestHashingRejectsBadOptions(t *testing.T) {
	forKeys(t, func(t *testing.T, config object) {
		for name, test := range map[string]struct {
			options object
			want    string
		}{
			"no key":           {object{"key": ""}, "key: missing"},
			"constant key":     {object{"key": "all"}, "key 'all' has no placeholder"},
			"closed, not open": {object{"key": "}a{"}, "key '}a{' has no placeholder"},
			"no bound":         {object{"balance_factor": 100}, "balance_factor: 100% is not above 100%"},
			"a factor":         {object{"balance_factor": 1.25}, "balance_factor: 1.25% is not above 100%"},
			"below zero":       {object{"balance_factor": -1}, "balance_factor: -1% is not above 100%"},
			"huge":             {object{"balance_factor": 1e300}, "balance_factor: 1e+300% is not above 100% and at most 100000%"},
			"infinite":         {object{"balance_factor": json.RawMessage("1e999")}, "cannot unmarshal number 1e999"},
			"a text":           {object{"balance_factor": "125%"}, "cannot unmarshal string"},
			"by port":          {object{"hash_by": "port"}, "hash_by: 'port' is neither address nor host"},
			"by Host":          {object{"hash_by": "Host"}, "hash_by: 'Host' is neither address nor host"},
			"unknown option":   {object{"hash": "host"}, `unknown field "hash"`},
		} {
			bad := pooltest.With(config, test.options)
			bad["key"] = config["key"]
			if key, ok := test.options["key"]; ok {
				bad["key"] = key
			}
			expectRejected(t, name, bad, test.want)
		}
		for name, test := range map[string]struct {
			fallback object
			want     string
		}{
			"unknown":        {object{"policy": "least_conns"}, "unknown module: http.reverse_proxy.selection_policies.least_conns"},
			"unnamed":        {object{}, "fallback"},
			"common options": {object{"policy": "weighted_random", "weights": object{pooltest.Dial(0): 2}}, "weight: options that every policy has belong to the outer policy"},
			"a check":        {object{"policy": "maglev", "key": "{x}", "health_checks": pooltest.Checked["health_checks"]}, "health_check: options that every policy has belong to the outer policy"},
			"no key":         {object{"policy": "maglev"}, "key: missing"},
		} {
			bad := pooltest.With(config, nil)
			bad["fallback"] = test.fallback
			expectRejected(t, "fallback "+name, bad, test.want)
		}
	})
}

func expectRejected(t *testing.T, name string, config object, want string) {
	t.Helper()
	_, err := pooltest.TryHandler(t, object{"load_balancing": object{"selection_policy": config}, "upstreams": pooltest.Dials(2)})
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: %v, want %s", name, err, want)
	}
}

func TestTableAndRingSizes(t *testing.T) {
	maglev := object{"policy": "maglev", "key": "{x}"}
	ring := object{"policy": "ring_hash", "key": "{x}"}
	for n, want := range map[int]string{
		-65537:   "table_size: -65537 is not between 101 and 67108864",
		1:        "table_size: 1 is not between 101 and 67108864",
		97:       "table_size: 97 is not between 101 and 67108864",
		65536:    "table_size: 65536 is not a prime number",
		1 << 30:  "table_size: 1073741824 is not between 101 and 67108864",
		67108879: "table_size: 67108879 is not between 101 and 67108864", // a prime
	} {
		expectRejected(t, fmt.Sprint(n), pooltest.With(maglev, object{"table_size": n}), want)
	}
	for n, want := range map[int]string{
		-1:        "ring_size: -1 is not between 1 and 1048576",
		1<<20 + 1: "ring_size: 1048577 is not between 1 and 1048576",
	} {
		expectRejected(t, fmt.Sprint(n), pooltest.With(ring, object{"ring_size": n}), want)
	}
}

// The smallest tables do, with hardly more places than upstreams, of whom the last
// one that is up is found.
func TestSmallTables(t *testing.T) {
	forKeys(t, func(t *testing.T, config object) {
		switch config["policy"] {
		case "maglev":
			config = pooltest.With(config, object{"table_size": 151})
		case "ring_hash":
			config = pooltest.With(config, object{"ring_size": 1})
		}
		const n = 150
		h := pooltest.NewHandler(t, pooltest.With(config, pooltest.Checked), n)
		before := homes(h, 2000)
		if got := countByHome(before); len(got) < 90 || got[pooltest.None] > 0 {
			t.Errorf("%d have keys", len(got))
		}
		for _, left := range []int{0, 70, 149} {
			var gone []string
			for i := range n {
				if i != left {
					gone = append(gone, pooltest.Dial(i))
				}
			}
			pooltest.SetDown(gone...)
			for _, home := range homes(h, 50) {
				if home != pooltest.Dial(left) {
					t.Fatalf("met %s, and only %s is up", home, pooltest.Dial(left))
				}
			}
		}
		pooltest.SetDown()
		for user, home := range homes(h, 2000) {
			if home != before[user] {
				t.Fatalf("user %d is at %s, not back at %s", user, home, before[user])
			}
		}
	})
}

// One upstream has all keys, and weights may differ as much as they like.
func TestExtremeWeights(t *testing.T) {
	forKeys(t, func(t *testing.T, config object) {
		h := pooltest.NewHandler(t, pooltest.With(config, object{"weights": object{pooltest.Dial(0): 1<<31 - 1}}), 1)
		if got := countByHome(homes(h, 100)); got[pooltest.Dial(0)] != 100 {
			t.Errorf("met %v", got)
		}
		h = pooltest.NewHandler(t, pooltest.With(config, object{"weights": object{pooltest.Dial(0): 1<<31 - 1}, "balance_factor": 125}), 3)
		if got := countByHome(homes(h, 100)); got[pooltest.Dial(0)] < 99 {
			t.Errorf("met %v", got)
		}
	})
}
