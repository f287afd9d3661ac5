package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

const healthPath = "/health"

// site is one handler of the running Caddy. Its options are drawn again for each
// reload.
type site struct {
	name      string
	policy    string
	own       []string // options of the policy: each is there every other time
	always    []string // options that are there all the time
	upstreams string   // empty: those of a source
	common    []string // options of every policy that this one takes
	mayFail   bool     // GETs have nowhere else to go, or not often enough
}

// newSites returns one site for each policy, and some for what policies have to
// do with: sources, placeholders, levels, queues.
func newSites(all []*backend, agents int) []*site {
	var addrs []string
	for _, b := range all {
		addrs = append(addrs, b.addr)
	}
	static := strings.Join(addrs, " ")
	common := append(commonOptions(addrs), fmt.Sprintf("health_check agent %d {\n interval 300ms\n timeout 2s\n}", agents))
	unweighted := without(common, "weight", "slow_start")
	hashing := []string{"balance_factor 150", "hash_by host", "fallback least_request", "salt a-salt-of-some-length"}
	secret := "secret a-secret-of-some-length another-secret"
	sites := []*site{
		{name: "turn", policy: "smooth_weighted_round_robin"},
		{name: "random", policy: "weighted_random"},
		{name: "least", policy: "least_request", own: []string{"bias 2"}},
		{name: "least-all", policy: "least_request all"},
		{name: "ewma", policy: "peak_ewma", own: []string{"choices 3", "decay 2s", "measure last_byte"}},
		{name: "rendezvous", policy: "rendezvous {header.X-Chaos-Id}", own: hashing},
		{name: "maglev", policy: "maglev {header.X-Chaos-Id}", always: []string{small}, own: hashing},
		{name: "ring", policy: "ring_hash {header.X-Chaos-Id}", own: append(hashing, "ring_size 40")},
		{name: "sticky", policy: "sticky lb", always: []string{secret}, own: []string{"max_age 1h\nrenew", "same_site strict", "header X-Session", "fallback least_request", "keep", "cacheable"}},
		{name: "learned", policy: "sticky", always: []string{"learn APPSESSION"}, own: []string{"fallback maglev {header.X-Chaos-Id} {\n " + small + "\n}"}},
		{name: "strict", policy: "sticky", always: []string{secret, "strict"}, mayFail: true},
		{name: "managed", policy: "managed round_robin", common: unweighted},
		{name: "cookie", policy: "managed cookie lb secret", common: unweighted},
		{name: "first", policy: "managed first", common: unweighted},
		{name: "limits", policy: "least_request", always: []string{"queue 1000 30s"}},
		{name: "churn", policy: "smooth_weighted_round_robin", upstreams: " ", always: []string{"retries 4"}},
		{name: "churn-hash", policy: "maglev {header.X-Chaos-Id}", upstreams: " ", always: []string{small, "retries 4"}},
		{name: "churn-sticky", policy: "sticky", upstreams: " ", always: []string{secret, "retries 4"}},
		{name: "named", policy: "peak_ewma", upstreams: "{header.X-Up}", common: []string{outliers}, mayFail: true},
	}
	for _, s := range sites {
		if s.upstreams == "" {
			s.upstreams = static
		}
		if s.common == nil {
			s.common = common
		}
	}
	return sites
}

// small tables are made soon, also under the race detector.
const small = "table_size 251"

const outliers = "outlier_detection {\n consecutive_5xx 3\n base_ejection_time 500ms\n max_ejection_time 2s\n interval 1s\n}"

// commonOptions are those of every policy, over the given upstreams.
func commonOptions(a []string) []string {
	return []string{
		"weight 3 " + a[0] + " " + a[1],
		"slow_start 2s",
		"priority 1 " + strings.Join(a[4:6], " "),
		"backup " + strings.Join(a[6:], " "),
		"overprovisioning 2",
		"failback_delay 500ms",
		"panic_threshold 30",
		"max_requests 100",
		"hold 1s",
		outliers,
		"health_check http " + healthPath + " {\n interval 250ms\n timeout 2s\n passes 1\n fails 2\n on_response\n}",
		"health_check tcp {\n interval 300ms\n timeout 2s\n}",
		"health_check exec true {\n interval 2s\n timeout 10s\n}",
	}
}

func without(options []string, names ...string) (rest []string) {
next:
	for _, o := range options {
		for _, name := range names {
			if strings.HasPrefix(o, name+" ") {
				continue next
			}
		}
		rest = append(rest, o)
	}
	return rest
}

// some returns each of the options with the given probability.
func some(options []string, probability float64) (drawn []string) {
	for _, o := range options {
		if rand.Float64() < probability {
			drawn = append(drawn, o)
		}
	}
	return drawn
}

// render returns the body of a Caddyfile's site with all sites, their options
// drawn anew.
func render(sites []*site) string {
	var text strings.Builder
	for _, s := range sites {
		options := append(some(s.own, 0.5), s.always...)
		options = append(options, some(s.common, 0.4)...)
		options = append(options, "retry_budget off") // more fails here than a budget is for
		directives := some([]string{
			"request_buffers 4KB",
			"lb_retry_match {\n method GET POST\n}",
			"transport http {\n response_header_timeout 1500ms\n}",
		}, 0.5) // not stream_close_delay: Caddy 2.11.9 has a data race of its own there
		if s.name == "limits" {
			directives = append(directives, "unhealthy_request_count 4")
		}
		if s.upstreams == " " {
			directives = append(directives, "dynamic churn")
		}
		fmt.Fprintf(&text, "handle /%s/* {\n reverse_proxy %s {\n lb_policy %s {\n %s\n }\n %s\n }\n}\n",
			s.name, s.upstreams, s.policy, strings.Join(options, "\n"), strings.Join(directives, "\n"))
	}
	return text.String()
}
