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
)

// retryAfter is what a client is told that was refused, in seconds.
const retryAfter = "1"

// refusals is whether a request was ever refused in this process. Until then no
// pick need look for what a refusal has left on its response.
var refusals atomic.Bool

// refuse tells the client when to come again.
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

// takeBackRetryAfter removes what a refusal has set on the response, in this
// handler or in another one before it: whoever answers now says it anew.
func takeBackRetryAfter(r *http.Request, w http.ResponseWriter) {
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
