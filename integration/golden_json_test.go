package integration

import (
	"fmt"
	"strings"
	"testing"
)

// What a Caddyfile's parser rejects is rejected in JSON as well, by an error
// that names option and value.
func TestGoldenJSONErrors(t *testing.T) {
	const smooth = `{"policy": "smooth_weighted_round_robin", %s}`
	const check = `{"policy": "smooth_weighted_round_robin", "health_checks": [{"checker": {"type": "tcp"}, %s}]}`
	const checker = `{"policy": "smooth_weighted_round_robin", "health_checks": [{"checker": {"type": %s}}]}`
	const request = `{"policy": "least_request", %s}`
	const ewma = `{"policy": "peak_ewma", %s}`
	const managed = `{"policy": "managed", %s}`
	for _, test := range []struct{ policy, options, want string }{
		{smooth, `"wieghts": {}`, `unknown field "wieghts"`},
		{smooth, `"weights": {"10.0.0.1:80": -1}`, "weight: -1 of upstream '10.0.0.1:80' is not between 0 and 2147483647"},
		{smooth, `"weights": {"10.0.0.1:80": 2147483648}`, "weight: 2147483648 of upstream '10.0.0.1:80' is not between 0 and 2147483647"},
		{smooth, `"weights": {"10.0.0.1:80": 1.5}`, "cannot unmarshal number 1.5"},
		{smooth, `"weights": {"10.0.0.0/33": 1}`, "weight: '10.0.0.0/33' is neither an upstream nor a CIDR range"},
		{smooth, `"weights": {"": 1}`, "weight: empty upstream"},
		{smooth, `"weights": {"10.0.0.1:80": 1, "http://10.0.0.1": 2}`, "weight: duplicate upstream '10.0.0.1:80'"},
		{smooth, `"weights": {"10.0.0.3:80": 1}`, "weight: no upstream is '10.0.0.3:80'"},
		{smooth, `"retries": -1`, "retries: -1 is not between 0 and 1000"},
		{smooth, `"panic_threshold": -0.5`, "panic_threshold: -0.5% is not between 0% and 100%"},
		{smooth, `"panic_threshold": 101`, "panic_threshold: 101% is not between 0% and 100%"},
		{request, `"choices": -1`, "choices: -1 is not between 1 and 1000"},
		{request, `"choices": 2, "all": true`, "choices: 2 and all exclude each other"},
		{request, `"bias": -1`, "bias: -1 is not between 0 and 100"},
		{ewma, `"choices": 1001`, "choices: 1001 is not between 1 and 1000"},
		{ewma, `"decay": "-1s"`, "decay: -1s is not above zero"},
		{ewma, `"measure": "body"`, "measure: 'body' is neither header nor last_byte"},
		{managed, `"retries": 1`, `managed: no policy; name the one that picks: "inner": {"policy": …}`},
		{managed, `"inner": {"policy": "least_conns"}`, "unknown module: http.reverse_proxy.selection_policies.least_conns"},
		{managed, `"inner": {"policy": "first"}, "weights": {"10.0.0.1:80": 3}`, "weight: 3 of upstream '10.0.0.1:80': managed takes only 0"},
		{managed, `"inner": {"policy": "least_request", "weights": {"10.0.0.1:80": 3}}`, "weight: options that every policy has belong to the outer policy"},
		{managed, `"inner": {"policy": "least_request", "retries": 0}`, "retries: options that every policy has belong to the outer policy"},
		{managed, `"inner": {"policy": "least_request", "health_checks": [{"checker": {"type": "tcp"}}]}`, "health_check: options that every policy has belong to the outer policy"},
		{check, `"intervall": "5s"`, `unknown field "intervall"`},
		{check, `"interval": "-5s"`, "health_check: interval: -5s is not above zero"},
		{check, `"interval": "often"`, `invalid duration "often"`},
		{check, `"timeout": -1`, "health_check: timeout: -1ns is not above zero"},
		{check, `"transition_interval": "-1s"`, "health_check: transition_interval: -1s is not above zero"},
		{check, `"down_interval": "-1s"`, "health_check: down_interval: -1s is not above zero"},
		{check, `"jitter": 101`, "health_check: jitter: 101% is not between 0% and 100%"},
		{check, `"passes": -1`, "health_check: passes: -1"},
		{check, `"fails": -2`, "fails: -2"},
		{check, `"initial": "up"`, "health_check: initial: 'up' is neither healthy nor checking"},
		{check, `"port": 65536`, "health_check: port: 65536 is not between 1 and 65535"},
		{smooth, `"health_checks": [{"name": "up"}]`, "health_check: missing checker; there are agent, exec, grpc, http, tcp"},
		{smooth, `"health_checks": [null]`, "health_check: an entry of health_checks is empty"},
		{smooth, `"health_checks": [{"checker": {"type": "tcp"}, "name": "up"}, {"checker": {"type": "grpc"}, "name": "up"}]`, "health_check: duplicate name 'up'"},
		{checker, `"htpp"`, "health_check: no checker is 'htpp'; there are agent, exec, grpc, http, tcp; did you mean 'http'?"},
		{checker, `"tcp", "interval": "5s"`, `unknown field "interval"`},
		{checker, `"tcp", "expect": "a", "expect_regexp": "b"`, "expect and expect_regexp exclude each other"},
		{checker, `"tcp", "expect_regexp": "*"`, "expect_regexp: error parsing regexp: missing argument to repetition operator: `*`"},
		{checker, `"tcp", "tls": {"client_auth": {"cert": "cert.pem"}}`, "tls: client_auth: needs both cert and key"},
		{checker, `"grpc", "plaintext": true, "tls": {}`, "plaintext and tls exclude each other"},
		{checker, `"http", "uri": "up"`, "uri: 'up' is not a path"},
		{checker, `"http", "expect_status": ["2x"]`, "expect_status: '2x' is not a status code"},
		{checker, `"http", "expect": "status"`, "expect: 'status' is of type int, not bool"},
		{checker, `"http", "transport": {"protocol": "smoke"}`, "unknown module: http.reverse_proxy.transport.smoke"},
	} {
		t.Run(test.options, func(t *testing.T) {
			err := validate(fmt.Sprintf(`{"apps": {"http": {"servers": {"s": {"listen": [":8080"], "routes": [{"handle": [{
				"handler": "reverse_proxy",
				"upstreams": [{"dial": "10.0.0.1:80"}, {"dial": "10.0.0.2:80"}],
				"load_balancing": {"selection_policy": %s}
			}]}]}}}}}`, fmt.Sprintf(test.policy, test.options)))
			expectError(t, err, test.want)
		})
	}
	for options, want := range map[string]string{
		`"dynamic_expiry": "-1s"`: "dynamic_expiry: -1s is not above zero",
		`"dynamic_limit": -1`:     "dynamic_limit: -1 is not above zero",
		`"probe_concurrency": -1`: "probe_concurrency: -1 is not above zero",
		`"dynamic_limits": 1`:     `unknown field "dynamic_limits"`,
	} {
		t.Run(options, func(t *testing.T) {
			expectError(t, validate(fmt.Sprintf(`{"apps": {"load_balancer": {%s}}}`, options)), want)
		})
	}
}

func expectError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}
