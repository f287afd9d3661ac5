package integration

import (
	"net/http"
	"testing"
)

// A retry that the budget has no room for is not made: the client gets the error of
// the attempt, and handle_errors knows why.
func TestRefusedRetryLeavesTheErrorAndItsReason(t *testing.T) {
	b := backends(t, "a", "b", "c")
	setAll(b, drop)
	const site = "\nhandle_errors {\n respond \"{err.status_code} for {http.load_balancer.reason}\"\n}"
	p := run(t, policy(addrs(b...), "smooth_weighted_round_robin", "retry_budget 0 1\noutlier_detection off")+site)
	before := metric(t, `retries_refused_total{pool="smooth_weighted_round_robin@`+b[0].addr+`"}`)
	for i := range 30 {
		a := p.do(http.MethodGet, "/", "")
		want := "502 for {http.load_balancer.reason}" // as Caddy has what has no value
		if i >= 5 {
			want = "502 for budget"
		}
		if a.status != http.StatusBadGateway || a.body != want {
			t.Errorf("request %d: %v, want %s", i, a, want)
		}
	}
	if got := b[0].requests.Load() + b[1].requests.Load() + b[2].requests.Load(); got != 40 {
		t.Errorf("%d attempts, want 40: %s", got, requests(b...))
	}
	if got := metric(t, `retries_refused_total{pool="smooth_weighted_round_robin@`+b[0].addr+`"}`) - before; got != 25 {
		t.Errorf("%v count as refused, want 25", got)
	}
	warned := logs.find("retry refused: the retry budget is used up, so the request ends with the error that it has")
	if len(warned) == 0 || warned[0]["policy"] != "smooth_weighted_round_robin" || warned[0]["level"] != "warn" {
		t.Errorf("logged %v", warned)
	}
}
