package cfg

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// block is what errors about unknown options have to know of a block.
type block struct {
	inside  string // block whose options hold in it, too; empty for none
	options []string
}

// blocks are those of Caddy that ours are mixed up with, and those that [Options]
// has made known.
var blocks = map[string]block{
	"reverse_proxy": {options: []string{
		"lb_policy", "lb_retries", "lb_try_duration", "lb_try_interval", "lb_retry_match",
		"health_uri", "health_upstream", "health_port", "health_interval", "health_passes", "health_fails", "health_timeout",
		"health_method", "health_status", "health_request_body", "health_body", "health_follow_redirects", "health_headers",
		"max_fails", "fail_duration", "unhealthy_status", "unhealthy_latency", "unhealthy_request_count",
		"dynamic", "header_up", "header_down", "stream_timeout", "stream_close_delay", "flush_interval",
	}},
}

// Options makes known which options a block has, for errors about unknown ones: a
// policy inside lb_policy, a checker inside health_check, or a block that stands
// alone. Only init functions call it.
func Options(name, inside string, options ...string) {
	blocks[name] = block{inside, options}
}

// written is the block's name as a Caddyfile has it.
func written(name string) string {
	if inside := blocks[name].inside; inside != "" {
		return inside + " " + name
	}
	return name
}

// Unknown is the error for the option at the cursor, which the block of that name
// does not have. It says where the option belongs, or which one is close to it.
func Unknown(d *caddyfile.Dispenser, name string) error {
	option := d.Val()
	here := blocks[name]
	known := slices.Concat(here.options, blocks[here.inside].options)
	hint := ""
	if places := places(option); len(places) > 0 {
		hint = ": it belongs in the block of " + either(places)
	} else if ours := elsewhere[option]; slices.Contains(known, ours) {
		hint = fmt.Sprintf("; did you mean '%s'?", ours)
	} else {
		hint = Meant(option, known)
	}
	return d.Errf("unknown option '%s' for %s%s", option, name, hint)
}

// elsewhere has names that other load balancers give to options of ours.
var elsewhere = map[string]string{
	// HAProxy
	"fall": "fails", "inter": "interval", "downinter": "down_interval", "fastinter": "transition_interval",
	"maxconn": "max_requests", "maxqueue": "queue", "rise": "passes", "slowstart": "slow_start",
	"hash-balance-factor": "balance_factor", "hash_balance_factor": "balance_factor",
	// NGINX
	"max_conns": "max_requests",
	// Envoy
	"healthy_threshold": "passes", "unhealthy_threshold": "fails", "healthy_panic_threshold": "panic_threshold",
	"consecutive_local_origin_failure": "consecutive_local_origin_failures",
	"consecutive_gateway_failure":      "consecutive_gateway_failures",
}

// places returns the blocks that have the option.
func places(option string) []string {
	var found []string
	for name, b := range blocks {
		if slices.Contains(b.options, option) {
			found = append(found, written(name))
		}
	}
	slices.Sort(found)
	return found
}

// either joins names with commas and an or.
func either(names []string) string {
	if last := len(names) - 1; last > 0 {
		return strings.Join(names[:last], ", ") + " or " + names[last]
	}
	return strings.Join(names, "")
}

// Meant asks in an error whether one of the names was meant: one that is close to
// the word; empty if none is.
func Meant(word string, names []string) string {
	if close := closest(word, names); close != "" {
		return fmt.Sprintf("; did you mean '%s'?", close)
	}
	return ""
}

// closest returns the name that is at most two letters from the word, and shares
// others with it; empty if there is none.
func closest(word string, names []string) string {
	best, least := "", 3
	for _, name := range names {
		if n := distance(word, name); n < least && n < min(len(word), len(name)) {
			best, least = name, n
		}
	}
	return best
}

// distance is how many letters have to be put in, left out or replaced to make one
// word of the other.
//
// V. Levenshtein, Binary codes capable of correcting deletions, insertions and
// reversals, 1966; row by row.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
