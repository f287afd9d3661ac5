package pool

import (
	"context"
	"net/http"
	"slices"
	"sync"

	"github.com/caddyserver/caddy/v2"
)

// tries is what a request's attempts in one handler have come to: which
// upstreams it has tried, and which failures still have to be judged. It exists
// from the first failure on. It is kept in the request's replacer and not in its
// vars: a dial that the transport has given up on may still read those, in
// another goroutine.
type tries struct {
	tried []try // only the request's own goroutine uses this

	mu       sync.Mutex // guards all below: the end of the request is another goroutine's
	suspects []suspect  // failures of which the request has not told yet whose they are
	alike    bool       // the request was retried after one of them
	final    bool       // the request must not be sent again
}

// try is an upstream that failed the request, or answered it where answers are
// retried.
type try struct {
	address string
	sent    bool // something of the request may have reached it
}

// suspect is a failure that may be the upstream's or the request's.
type suspect struct {
	flight *flight
	report report
}

// avoids reports whether the request must not go to the address. With again, one
// that failed before anything was sent to it is as good as untried.
func (t *tries) avoids(address string, again bool) bool {
	if t == nil {
		return false
	}
	for i := range t.tried {
		if t.tried[i].address == address {
			return t.tried[i].sent || !again
		}
	}
	return false
}

// note adds an upstream to those tried.
func (t *tries) note(address string, sent bool) {
	i := slices.IndexFunc(t.tried, func(known try) bool { return known.address == address })
	if i < 0 {
		t.tried = append(t.tried, try{address, sent})
		return
	}
	t.tried[i].sent = t.tried[i].sent || sent
}

// suspect keeps a failure until it is known whose it is. A failure after
// something was sent speaks against the upstream only if another one answers the
// same request: a request that makes whatever serves it fail must not eject them
// all.
func (t *tries) suspect(s suspect) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.suspects) == 0 {
		s.flight.o.suspects.Add(1)
		// Whoever retries knows of no last attempt: what nobody has answered by
		// the end of the request is judged then.
		context.AfterFunc(s.flight.request, t.end)
	}
	t.suspects = append(t.suspects, s)
}

// take returns the suspects, of which there are none from now on. The mutex is
// held.
func (t *tries) take() []suspect {
	suspects := t.suspects
	if len(suspects) > 0 {
		suspects[0].flight.o.suspects.Add(-1)
	}
	t.suspects = nil
	return suspects
}

// retried notes that the request is retried.
func (t *tries) retried() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.alike = t.alike || len(t.suspects) > 0
}

// answered judges the failures: another upstream has answered the request, so
// they were the upstreams' own.
func (t *tries) answered() {
	t.mu.Lock()
	suspects := t.take()
	t.alike = false
	t.mu.Unlock()
	for _, s := range suspects {
		s.report.proven = true
		s.flight.judge(s.report)
	}
}

// end judges the failures of a request that nobody has answered. Where it was
// retried, all attempts have failed alike, and it is held to be the request's
// fault. One that was not retried for what it is, a POST, say, proves nothing,
// but is all that is known: it counts within max_ejection_percent.
func (t *tries) end() {
	t.mu.Lock()
	alike := t.alike || len(t.suspects) > 1
	suspects := t.take()
	t.mu.Unlock()
	for _, s := range suspects {
		s.report.alike = alike
		s.flight.judge(s.report)
	}
}

// forbid has the request end with the error that it has: its body cannot be sent
// again.
func (t *tries) forbid() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.final = true
}

// over reports whether the request must not be sent again.
func (t *tries) over() bool {
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.final
}

// Replacer returns the request's, where policies keep what they know of it; nil
// if there is none, or no request.
func Replacer(r *http.Request) *caddy.Replacer {
	if r == nil {
		return nil
	}
	return ReplacerIn(r.Context())
}

// ReplacerIn returns the replacer of the request that has the context.
func ReplacerIn(ctx context.Context) *caddy.Replacer {
	repl, _ := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	return repl
}

// IsRetry reports whether an attempt may have been made for the request: what Caddy
// passes to a policy has no host in its URL until then, unless the client has sent
// one.
func IsRetry(r *http.Request) bool { return r != nil && r.URL != nil && r.URL.Host != "" }

// triesOf returns what the request's attempts have come to under the given key;
// nil before the first failure.
func triesOf(r *http.Request, key string) *tries {
	repl := Replacer(r)
	if repl == nil {
		return nil
	}
	value, _ := repl.Get(key)
	t, _ := value.(*tries)
	return t
}

// newTries is triesOf for a request that has just failed. The result is never
// nil.
func newTries(r *http.Request, key string) *tries {
	if t := triesOf(r, key); t != nil {
		return t
	}
	t := new(tries)
	if repl := Replacer(r); repl != nil {
		repl.Set(key, t)
	}
	return t
}
