package integration

import (
	"strconv"
	"strings"
	"testing"
)

// metric returns the value of a metric with the given name and labels, which are
// as Prometheus writes them; zero if there is none.
func metric(t *testing.T, name string) float64 {
	t.Helper()
	for line := range strings.Lines(string(adminGet(t, "/metrics"))) {
		if value, ok := strings.CutPrefix(line, "caddy_load_balancer_"+name+" "); ok {
			number, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return number
		}
	}
	return 0
}
