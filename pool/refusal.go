package pool

import (
	"net/http"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-evenkeel/evenkeel/internal/request"
)

// Keys of what a request's replacer keeps.
const (
	retryAfterKey = "http.load_balancer.retry_after" // set by us on the response
	queueWaitKey  = "http.load_balancer.queue_wait_ms"
	reasonKey     = "http.load_balancer.reason" // for which a request gets no further attempt
)

// retryAfter is after how many seconds the client of a refused request may try again.
const retryAfter = "1"

// refusals is whether this process has ever refused a request. Until then, no pick
// has to look for a Retry-After on its response.
var refusals atomic.Bool

// refuse sets Retry-After on the response.
func refuse(w http.ResponseWriter, repl *caddy.Replacer) {
	if w == nil {
		return
	}
	refusals.Store(true)
	w.Header().Set("Retry-After", retryAfter)
	if repl != nil {
		repl.Set(retryAfterKey, true)
	}
}

// removeRetryAfter removes the Retry-After that a refusal has set on the response, in
// this handler or in an earlier one.
func removeRetryAfter(r *http.Request, w http.ResponseWriter) {
	header := w.Header()
	if len(header["Retry-After"]) == 0 {
		return
	}
	repl := request.Replacer(r)
	if repl == nil {
		return
	}
	if _, ours := repl.Get(retryAfterKey); ours {
		repl.Delete(retryAfterKey)
		header.Del("Retry-After")
	}
}
