package attempt

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
	"github.com/caddy-evenkeel/evenkeel/internal/request"
)

// Transport sees all attempts of a handler: it stands before the handler's own
// transport. There is one for each handler, whatever the number of policies.
type Transport struct {
	inner           http.RoundTripper
	key             string // of a request's record, in its replacer
	retriesAnswered bool   // an answered request may be retried, too

	nested  atomic.Bool  // one of the policies is inside one of Caddy's: others pick, too
	carries atomic.Bool  // a pick was carried: attempts have to look for theirs
	blaming atomic.Int64 // requests with failures that are still to be blamed
	closing atomic.Bool  // users is 0

	mu     sync.Mutex // guards changes of source, and:
	users  int        // sources that have not left
	source atomic.Pointer[Source]
}

// Install puts a transport before the handler's, if none is there.
func Install(ctx caddy.Context, h *reverseproxy.Handler) (*Transport, error) {
	if w, ok := h.Transport.(wrapped); ok {
		return w.transport(), nil
	}
	t := &Transport{inner: h.Transport}
	if t.inner == nil {
		// Caddy would make one when its policy is provisioned, and never close it.
		own := new(reverseproxy.HTTPTransport)
		if err := own.Provision(ctx); err != nil {
			return nil, fmt.Errorf("provisioning default transport: %v", err)
		}
		t.inner = own
	}
	t.key = fmt.Sprintf("http.load_balancer.attempts.%p", t)
	if lb := h.LoadBalancing; lb != nil {
		t.retriesAnswered = len(lb.RetryMatchRaw) > 0
		lb.RetryMatchRaw = retryMatch(lb.RetryMatchRaw, t.key)
	}
	h.Transport = t.wrap()
	return t, nil
}

// Inner returns the handler's own transport.
func (t *Transport) Inner() http.RoundTripper { return t.inner }

// Join counts a source in. A nested one belongs to a policy inside one of Caddy's,
// so that not every attempt is of its picking.
func (t *Transport) Join(s Source, nested bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.users++
	t.source.Store(&s)
	if nested {
		t.nested.Store(true)
	}
}

// Nested reports whether one of the policies is inside one of Caddy's: then every
// pick has to be carried.
func (t *Transport) Nested() bool { return t != nil && t.nested.Load() }

// Leave counts a source out. With the last, what the transport has provisioned is
// closed: now as far as it is idle, the rest after its last attempt.
func (t *Transport) Leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.users--; t.users == 0 {
		t.closing.Store(true)
		t.closeIdle()
	}
}

// closeIdle closes idle connections. The handler's own transport is closed by
// Caddy, but only once: connections that become idle later stay.
func (t *Transport) closeIdle() {
	if own, ok := t.inner.(*reverseproxy.HTTPTransport); ok && own.Transport != nil {
		own.Transport.CloseIdleConnections()
	}
}

// ended notes the end of an attempt. Idle connections of plain HTTP/1 that were
// asked to close do so; those that carry several streams must be asked again
// after the last one.
func (t *Transport) ended() {
	if t.closing.Load() {
		t.closeIdle()
	}
}

// Record returns what the request's attempts have come to; nil before the first
// failure, and the first pick that was carried.
func (t *Transport) Record(r *http.Request) *Record {
	if t == nil {
		return nil
	}
	return recordOf(r, t.key)
}

// record is Record, but never nil.
func (t *Transport) record(r *http.Request) *Record { return newRecordOf(r, t.key) }

// Carry hands what the pick of the address holds, which may be nil, over to the
// attempt that follows. It is given back where none follows by the end of the
// request, or its next pick. Where nothing can be kept of the request, it is given
// back at once.
func (t *Transport) Carry(r *http.Request, s Source, address string, p Pick) {
	if t == nil || request.Replacer(r) == nil {
		if p != nil {
			p.GiveBack()
		}
		return
	}
	if !t.carries.Load() {
		t.carries.Store(true)
	}
	t.record(r).carry(r.Context(), picked{s, address, p})
}

// attribute returns where the attempt comes from, and on which upstream it is; nil
// unless one of our policies has picked it. Probes have no server, Caddy's own ones
// as well.
func (t *Transport) attribute(r *http.Request) (from Source, u *reverseproxy.Upstream, p Pick) {
	ctx := r.Context()
	dial, ok := reverseproxy.GetDialInfo(ctx)
	if !ok || dial.Upstream == nil || ctx.Value(caddyhttp.ServerCtxKey) == nil {
		return nil, nil, nil
	}
	var carried picked
	if t.carries.Load() {
		carried = t.Record(r).follow(dial.Upstream.Dial)
	}
	if t.nested.Load() || carried.from != nil {
		return carried.from, dial.Upstream, carried.pick
	}
	if s := t.source.Load(); s != nil {
		return *s, dial.Upstream, nil
	}
	return nil, nil, nil
}

// roundTrip makes an attempt for the request.
func (t *Transport) roundTrip(r *http.Request) (*http.Response, error) {
	from, u, pick := t.attribute(r)
	if from == nil {
		return t.pass(r)
	}
	now := instant.Now()
	a := from.Begin(r, u, pick, now)
	if a == nil {
		return t.pass(r)
	}
	a.transport, a.address, a.Began, a.Request = t, u.Dial, now, r.Context()
	return a.roundTrip(r, from)
}

// pass makes an attempt that none of our policies has picked. It tells nothing of
// its upstream, but its body must not be sent again either.
func (t *Transport) pass(r *http.Request) (*http.Response, error) {
	sent, body := watchRequest(r)
	res, err := t.inner.RoundTrip(sent)
	t.ended()
	if err != nil && body.spent() || err == nil && t.retriesAnswered && body.partial() {
		t.record(r).forbid()
	}
	if err != nil {
		body.end()
	} else if body != nil && body.whole && res.Body != nil && res.StatusCode != http.StatusSwitchingProtocols {
		res.Body = &endingBody{res.Body, body}
	}
	return res, err
}
