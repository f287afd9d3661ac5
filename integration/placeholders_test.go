package integration

import (
	"net/http"
	"testing"
)

// TestAnAddressOfTheRequestKeepsNothing has a client name an upstream that is dead,
// again and again: whom others name by the same placeholder is not ejected for it,
// nor held to be slow.
func TestAnAddressOfTheRequestKeepsNothing(t *testing.T) {
	for _, policy := range []string{"smooth_weighted_round_robin", "peak_ewma", "least_request"} {
		t.Run(policy, func(t *testing.T) {
			b := backends(t, "a", "other", "dead")
			b[2].stop()
			p := run(t, "reverse_proxy {header.X-Up} "+b[1].addr+" {\n lb_policy "+policy+" {\n  outlier_detection\n }\n}")
			for range 16 {
				if got := p.get("/", "X-Up", b[2].addr); got.status != http.StatusOK || got.from() != "other" {
					t.Fatalf("named a dead one: %v", got)
				}
			}
			counts := make(map[string]int)
			for range 40 {
				counts[p.get("/", "X-Up", b[0].addr).from()]++
			}
			if counts["a"]+counts["other"] != 40 || counts["a"] < 5 {
				t.Errorf("named one that lives: %v", counts)
			}
			if logs.count("upstream is ejected") > 0 {
				t.Error("ejected, for all")
			}
		})
	}
}
