package pool

import (
	"net/http"
	"strings"

	"github.com/caddy-evenkeel/evenkeel/internal/request"
)

// Placeholders that a request has after its first attempt, or after a refusal, for access
// logs and error pages. Where several handlers serve a request, the last one's count.
const (
	poolKey    = "http.load_balancer.pool"
	policyKey  = "http.load_balancer.policy"
	attemptKey = "http.load_balancer.attempt" // number of the latest attempt; none for no attempt
	triedKey   = "http.load_balancer.tried"   // addresses of upstreams that failed the request, separated by commas
)

var firstAttempt, noneTried any = 1, ""

// describe says in the request's placeholders which pool serves it, and which attempt
// this is.
func (p *Pool) describe(r *http.Request) {
	repl := request.Replacer(r)
	if repl == nil {
		return
	}
	repl.Set(poolKey, p.naming.Load().pool)
	repl.Set(policyKey, p.naming.Load().policy)
	rec := p.transport.Record(r)
	if n := rec.Failed(); n > 0 {
		var tried []string
		rec.Tried(func(address string, _ bool) { tried = append(tried, address) })
		repl.Set(attemptKey, n+1)
		repl.Set(triedKey, strings.Join(tried, ","))
		return
	}
	repl.Set(attemptKey, firstAttempt)
	repl.Set(triedKey, noneTried)
}
