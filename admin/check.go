package admin

import (
	"errors"
	"net/http"

	"github.com/caddy-evenkeel/evenkeel/pool"
)

// checkNow has all checks probe the upstream at once.
func checkNow(w http.ResponseWriter, r *http.Request, address string) error {
	known, probed := false, 0
	for _, p := range pool.Serving() {
		if only := r.URL.Query().Get("pool"); only != "" && only != p.Name() {
			continue
		}
		found, n := p.Probe(address)
		known, probed = known || found, probed+n
	}
	switch {
	case !known:
		return noUpstream(address)
	case probed == 0:
		return fail(http.StatusConflict, errors.New("the upstream has no health check"))
	}
	return reply(w, http.StatusAccepted, map[string]int{"checks": probed})
}
