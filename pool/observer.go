package pool

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/resources"
)

// observer sees all attempts of a handler: it stands before the handler's
// transport. There is one for each handler, whatever the number of policies.
type observer struct {
	inner      http.RoundTripper
	key        string        // of what a request has tried, in its replacer
	picked     string        // of what was picked, likewise
	refused    string        // of whether the request found the queue full, likewise
	answered   bool          // an answered request may be retried, too
	decay      time.Duration // of the latency estimates
	toLastByte bool          // latency is until the last byte, not until the header
	suspects   atomic.Int64  // requests with failures that are still to be judged

	marking atomic.Bool // one of the policies is inside one of Caddy's
	closing atomic.Bool // users is 0

	mu    sync.Mutex
	users int                  // pools that are not closed
	pool  atomic.Pointer[Pool] // the latest to join
}

// observed is a transport with an observer before it.
type observed interface{ observer() *observer }

// observe puts an observer before the handler's transport, if none is there.
func observe(ctx caddy.Context, h *reverseproxy.Handler) (*observer, error) {
	if t, ok := h.Transport.(observed); ok {
		return t.observer(), nil
	}
	o := &observer{inner: h.Transport, decay: DefaultDecay}
	if o.inner == nil {
		// Caddy would make one when its policy is provisioned, and never
		// close it.
		own := new(reverseproxy.HTTPTransport)
		if err := own.Provision(ctx); err != nil {
			return nil, fmt.Errorf("provisioning default transport: %v", err)
		}
		o.inner = own
	}
	o.key = fmt.Sprintf("http.load_balancer.tried.%p", o)
	o.picked = fmt.Sprintf("http.load_balancer.picked.%p", o)
	o.refused = fmt.Sprintf("http.load_balancer.refused.%p", o)
	if lb := h.LoadBalancing; lb != nil {
		o.answered = len(lb.RetryMatchRaw) > 0
		lb.RetryMatchRaw = retryMatch(lb.RetryMatchRaw, o.key)
	}
	h.Transport = o.wrap()
	return o, nil
}

// join counts a pool in; nested ones belong to a policy inside one of Caddy's,
// so that not every attempt is of their picking.
func (o *observer) join(p *Pool, nested bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.users++
	o.pool.Store(p)
	if nested {
		o.marking.Store(true)
	}
}

// leave counts a pool out. With the last, what the observer has provisioned is
// closed: now as far as it is idle, the rest after its last attempt.
func (o *observer) leave() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.users--; o.users == 0 {
		o.closing.Store(true)
		o.closeIdle()
	}
}

// closeIdle closes idle connections. The handler's own transport is closed by
// Caddy, but only once: connections that become idle later stay.
func (o *observer) closeIdle() {
	if t, ok := o.inner.(*reverseproxy.HTTPTransport); ok && t.Transport != nil {
		t.Transport.CloseIdleConnections()
	}
}

// ended notes the end of an attempt. Idle connections of plain HTTP/1 that were
// asked to close do so; those that carry several streams must be asked again
// after the last one.
func (o *observer) ended() {
	if o.closing.Load() {
		o.closeIdle()
	}
}

// pick is what a policy inside one of Caddy's has picked.
type pick struct {
	pool    *Pool
	address string
}

// marks reports whether picks have to be marked.
func (o *observer) marks() bool { return o != nil && o.marking.Load() }

// mark notes what a policy inside one of Caddy's has picked.
func (o *observer) mark(r *http.Request, p *Pool, address string) {
	if !o.marks() {
		return
	}
	if repl := Replacer(r); repl != nil {
		repl.Set(o.picked, pick{p, address})
	}
}

// concerns returns the upstream that the request goes to, as the pool that it was
// picked from knows it and as Caddy does; nil unless it is an attempt that one of
// our policies has picked. Probes have no server, Caddy's own ones as well.
func (o *observer) concerns(r *http.Request) (*Pool, *member, *reverseproxy.Upstream) {
	ctx := r.Context()
	dial, ok := reverseproxy.GetDialInfo(ctx)
	if !ok || dial.Upstream == nil || ctx.Value(caddyhttp.ServerCtxKey) == nil {
		return nil, nil, nil
	}
	p := o.pool.Load()
	if o.marks() {
		repl := Replacer(r)
		if repl == nil {
			return nil, nil, nil
		}
		value, _ := repl.Get(o.picked)
		repl.Delete(o.picked)
		picked, _ := value.(pick)
		if picked.pool == nil || picked.address != dial.Upstream.Dial {
			return nil, nil, nil
		}
		p = picked.pool
	}
	return p, p.member(dial.Upstream.Dial), dial.Upstream
}

// roundTrip makes an attempt and takes in what comes of it. Response and error do
// not change on the way; of the request, what is ours is not sent.
func (o *observer) roundTrip(r *http.Request) (*http.Response, error) {
	p, m, u := o.concerns(r)
	if m == nil {
		return o.pass(r)
	}
	f := &flight{o: o, pool: p, member: m, began: time.Now(), request: r.Context()}
	f.begin(u.MaxRequests)
	returned := false
	defer func() {
		if !returned { // the transport has panicked
			f.abandon()
		}
	}()
	sent, body := watchRequest(p.hide(r))
	f.sent = body
	res, err := o.inner.RoundTrip(sent)
	returned = true
	if err != nil {
		o.failed(r, f, body, err)
		return res, err
	}
	var t *tries
	if o.suspects.Load() > 0 {
		t = triesOf(r, o.key)
	}
	if o.answered {
		t = newTries(r, o.key)
		t.note(m.address, true)
		if body.partial() {
			t.forbid() // the transport may still be reading it
		}
	}
	f.answer(res, t)
	return res, nil
}

// pass makes an attempt that none of our policies has picked. It tells nothing of
// its upstream, but its body must not be sent again either.
func (o *observer) pass(r *http.Request) (*http.Response, error) {
	sent, body := watchRequest(r)
	res, err := o.inner.RoundTrip(sent)
	o.ended()
	if err != nil && body.spent() || err == nil && o.answered && body.partial() {
		newTries(r, o.key).forbid()
	}
	if err != nil {
		body.end()
	} else if body != nil && body.whole && res.Body != nil && res.StatusCode != http.StatusSwitchingProtocols {
		res.Body = &endingBody{res.Body, body}
	}
	return res, err
}

// failed takes in that the attempt for the request got no answer.
func (o *observer) failed(r *http.Request, f *flight, body *requestBody, err error) {
	f.pool.undo(r, nil) // a session must not stay with an upstream that failed
	spent := body.spent()
	if r.Context().Err() != nil { // the client has gone
		f.abandon()
		return
	}
	t := newTries(r, o.key)
	t.note(f.member.address, !unsent(err))
	if spent {
		t.forbid()
	}
	// A client whose body broke off, and what this machine lacks, are not the
	// upstream's failure.
	if body.broken() || resources.Exhausted(err) {
		f.abandon()
		return
	}
	f.fail(err, t)
}
