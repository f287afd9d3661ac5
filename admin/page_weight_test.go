package admin

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/caddy-evenkeel/evenkeel/internal/orders"
)

// A weight given on the page leaves the maintenance of the upstream, its end and its
// reason as they are.
func TestWeightOnThePageKeepsTTLAndReason(t *testing.T) {
	withoutOrders(t)
	ask(t, http.MethodPatch, "/load_balancer/upstreams/10.0.0.1:80", `{"state":"maintenance","ttl":"30m","reason":"kernel"}`).expect(t, http.StatusOK, "kernel")
	w := askPage(newPage(true), posted(func(_ *http.Request, form url.Values) {
		form.Set("action", "weight")
		form.Set("weight", "7")
		form.Set("upstream", "10.0.0.1:80")
	}))
	if w.Code != http.StatusSeeOther {
		t.Fatal(w.Code, w.Body)
	}
	for _, o := range orders.Default.For("10.0.0.1:80") {
		if o.State == orders.Maintenance && (o.Ends == nil || time.Until(*o.Ends) > time.Hour || o.Reason != "kernel") {
			t.Errorf("maintenance until %v, reason %q: it was to end after 30m", o.Ends, o.Reason)
		}
	}
}
