package integration

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
	lbapp "github.com/caddy-evenkeel/evenkeel/internal/app"
	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
	"github.com/caddy-evenkeel/evenkeel/outlier"
	"github.com/caddy-evenkeel/evenkeel/pool"
)

// Errors know where every option belongs: each field of the JSON is one, but for
// those that a Caddyfile has elsewhere.
func TestPolicyErrorsKnowWhereOptionsBelong(t *testing.T) {
	blocks := map[string]reflect.Type{
		"lb_policy":         reflect.TypeFor[pool.Options](),
		"outlier_detection": reflect.TypeFor[outlier.Options](),
		"health_check":      reflect.TypeFor[healthcheck.Check](),
		"on_response":       reflect.TypeFor[healthcheck.OnResponse](),
		"tls":               reflect.TypeFor[healthcheck.TLS](),
		"load_balancer":     reflect.TypeFor[lbapp.App](),
	}
	for namespace, block := range map[string]string{
		"http.reverse_proxy.selection_policies": "lb_policy ",
		"http.reverse_proxy.health_checkers":    "health_check ",
	} {
		for _, m := range caddy.GetModules(namespace) {
			if module := reflect.TypeOf(m.New()).Elem(); strings.HasPrefix(module.PkgPath(), "github.com/caddy-evenkeel/") && !strings.HasSuffix(module.PkgPath(), "/integration") {
				blocks[block+m.ID.Name()] = module
			}
		}
	}
	elsewhere := map[string]string{ // arguments, and the like
		"outlier_detection": "off", "health_check": "checker", "lb_policy sticky": "cookie",
		"lb_policy least_request": "choices all", "lb_policy maglev": "key", "lb_policy ring_hash": "key", "lb_policy rendezvous": "key",
		"health_check http": "uri", "health_check grpc": "service", "health_check exec": "command args", "health_check agent": "port",
	}
	names := map[string]string{
		"weights": "weight", "priorities": "priority", "backups": "backup", "health_checks": "health_check", "inner": "policy",
		"default_max_requests": "max_requests",
	}
	for block, of := range blocks {
		for _, field := range reflect.VisibleFields(of) {
			name, _, tagged := strings.Cut(field.Tag.Get("json"), ",")
			_, common := reflect.TypeFor[pool.Options]().FieldByName(field.Name)
			if !tagged || common && len(field.Index) > 1 || slices.Contains(strings.Fields(elsewhere[block]), name) {
				continue
			}
			if short := names[name]; short != "" {
				name = short
			}
			d := caddyfile.NewTestDispenser(name)
			d.Next()
			err := cfg.Unknown(d, "no block at all").Error()
			_, places, _ := strings.Cut(err, "belongs in the block of ")
			places, _, _ = strings.Cut(places, ", at Testfile")
			if !slices.Contains(strings.Split(strings.ReplaceAll(places, " or ", ", "), ", "), block) {
				t.Errorf("%s of %s: %s", name, block, err)
			}
		}
	}
}

// Errors of a load through the admin API name the option, its value, and what there
// is instead.
func TestLoadErrorsThroughTheAdminAPI(t *testing.T) {
	a := start(t, "a")
	p := run(t, policy(addrs(a), "weighted_random", ""))
	for selection, want := range map[string]string{
		`{"policy": "weighted_random", "weights": {"10.0.0.9:80": 2}}`:                                            "weight: no upstream is '10.0.0.9:80'; there is only " + a.addr,
		`{"policy": "weighted_random", "weights": {"` + a.addr + `": -1}}`:                                        "weight: -1 of upstream '" + a.addr + "' is not between 0 and 2147483647",
		`{"policy": "weighted_random", "backups": ["10.0.0.9"]}`:                                                  "backup: no upstream is '10.0.0.9'; there is only " + a.addr,
		`{"policy": "weighted_random", "backups": ["` + a.addr + `"], "priorities": {"` + a.addr + `": 1}}`:       "backup: '" + a.addr + "' has a priority, too",
		`{"policy": "weighted_random", "panic_threshold": 101}`:                                                   "panic_threshold: 101% is not between 0% and 100%",
		`{"policy": "weighted_random", "health_checks": [{}]}`:                                                    "health_check: missing checker; there are agent,",
		`{"policy": "weighted_random", "health_checks": [{"checker": {"type": "htp"}}]}`:                          "health_check: no checker is 'htp'; there are agent,",
		`{"policy": "weighted_random", "health_checks": [{"interval": "-5s", "checker": {"type": "tcp"}}]}`:       "health_check: interval: -5s is",
		`{"policy": "weighted_random", "outlier_detection": {"max_ejection_percent": 110}}`:                       "outlier_detection: max_ejection_percent: 110 is not between 0 and 100",
		`{"policy": "sticky", "route": {"r": "10.0.0.9:80"}}`:                                                     "route r: no upstream is '10.0.0.9:80'; there is only " + a.addr,
		`{"policy": "maglev", "key": "{http.request.uri}", "table_size": 8}`:                                      "table_size: 8 is not",
		`{"policy": "weighted_random", "queue": {"length": 0}}`:                                                   "queue: 0 is not between 1 and",
		`{"policy": "weighted_random", "health_checks": [{"passes": -1, "checker": {"type": "tcp"}}]}`:            "health_check: passes: -1 is not above zero",
		`{"policy": "rendezvous", "key": "{http.request.uri}", "fallback": {"policy": "random", "weights": {}}}`:  "weights",
		`{"policy": "weighted_random", "health_checks": [{"checker": {"type": "http", "expect_status": ["9"]}}]}`: "expect_status: '9' is not a status code",
	} {
		const plain = `{"policy":"weighted_random"}`
		config, err := adapt("", p.addr, policy(addrs(a), "weighted_random", ""))
		if err != nil || !strings.Contains(string(config), plain) {
			t.Fatalf("%v\n%s", err, config)
		}
		err = load([]byte(strings.Replace(string(config), plain, selection, 1)))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\n%v\nwant %s", selection, err, want)
		}
	}
	if got := p.get("/"); got.from() != a.name {
		t.Errorf("what ran before runs no more: %v", got)
	}
}
