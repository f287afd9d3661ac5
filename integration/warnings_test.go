package integration

import (
	"net/http"
	"strings"
	"testing"
)

// Where there is nothing to warn of, nobody is warned.
func TestNoWarningWhereThereIsNothingToWarnOf(t *testing.T) {
	const secret = "{\n secret 0123456789abcdef\n}"
	sticky := func(cookie, upstreams string) string {
		return "reverse_proxy " + upstreams + " {\n lb_policy sticky " + cookie + " " + secret + "\n}\n"
	}
	for name, text := range map[string]string{
		"one cookie in two sites":       "a.example.com {\n" + sticky("", "10.0.0.1:80") + "}\nb.example.com {\n" + sticky("", "10.0.0.2:80") + "}",
		"two cookies":                   "a.example.com {\nhandle /a* {\n" + sticky("", "10.0.0.1:80") + "}\n" + sticky("other", "10.0.0.2:80") + "}",
		"one cookie, the same upstream": "a.example.com {\nhandle /a* {\n" + sticky("", "10.0.0.1:80 10.0.0.2:80") + "}\n" + sticky("", "10.0.0.2:80 10.0.0.1:80") + "}",
		"fail_duration alone":           ":80 {\nreverse_proxy 10.0.0.1:80 {\n lb_policy weighted_random {\n outlier_detection off\n}\n fail_duration 30s\n}\n}",
		"a limit of Caddy's":            ":80 {\nreverse_proxy 10.0.0.1:80 {\n lb_policy weighted_random\n unhealthy_request_count 3\n}\n}",
		"health_uri alone":              ":80 {\nreverse_proxy 10.0.0.1:80 {\n lb_policy weighted_random\n health_uri /\n}\n}",
		"panic_threshold":               ":80 {\nreverse_proxy 10.0.0.1:80 {\n lb_policy weighted_random {\n panic_threshold 1\n}\n}\n}",
		"panic_threshold of zero":       ":80 {\nreverse_proxy 10.0.0.1:80 {\n lb_policy weighted_random {\n panic_threshold 0\n}\n}\n}",
		"one weight of zero":            ":80 {\nreverse_proxy 10.0.0.1:80 10.0.0.2:80 {\n lb_policy weighted_random {\n weight 0 10.0.0.1:80\n}\n}\n}",
	} {
		t.Run(name, func(t *testing.T) {
			config, err := adaptCaddyfile(text)
			if err != nil {
				t.Fatal(err)
			}
			logs.reset()
			if err := validate(config); err != nil {
				t.Fatal(err)
			}
			logs.mu.Lock()
			defer logs.mu.Unlock()
			for _, record := range logs.all {
				if record["level"] == "warn" && strings.HasPrefix(record["logger"], "http.reverse_proxy.") {
					t.Errorf("warned of %v", record)
				}
			}
		})
	}
}

// A templated configuration may drain its last upstream.
func TestAllWeightsZeroAnswer503(t *testing.T) {
	a := start(t, "a")
	p := run(t, policy(addrs(a), "weighted_random", "weight 0 "+a.addr))
	for range 3 {
		if got := p.get("/"); got.status != http.StatusServiceUnavailable {
			t.Errorf("%v", got)
		}
	}
	if n := logs.count(drained, "level", "warn"); n != 1 {
		t.Errorf("warned %d times of one load", n)
	}
}

const drained = "all upstreams have weight 0: requests get a 503, but for those of sessions; give an upstream a weight above 0, or leave its weight out"
