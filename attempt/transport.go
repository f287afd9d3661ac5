package attempt

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/endpoint"
	"github.com/caddy-evenkeel/evenkeel/internal/instant"
	"github.com/caddy-evenkeel/evenkeel/internal/request"
)

// Transport sees all attempts of a handler: it wraps the handler's own transport.
// Each handler has one, whatever the number of its policies.
type Transport struct {
	inner           http.RoundTripper
	key             string // of a request's record, in its replacer
	retriesAnswered bool   // an answered request may be retried, too
	keepalive       keepalive

	nested  atomic.Bool  // one of the policies is inside one of Caddy's: others pick, too
	carries atomic.Bool  // a pick was carried: attempts have to look for theirs
	blaming atomic.Int64 // requests with suspects
	closing atomic.Bool  // users is 0

	mu     sync.Mutex             // guards writes of source, and:
	users  int                    // sources that have not left
	source atomic.Pointer[Source] // the latest to join
}

// Install wraps the handler's transport, unless it is wrapped already.
func Install(ctx caddy.Context, h *reverseproxy.Handler) (*Transport, error) {
	if w, ok := h.Transport.(wrapped); ok {
		return w.transport(), nil
	}
	t := &Transport{inner: h.Transport}
	if t.inner == nil {
		// Caddy would provision one after the policy, and never close it.
		own := new(reverseproxy.HTTPTransport)
		if err := own.Provision(ctx); err != nil {
			return nil, fmt.Errorf("provisioning default transport: %v", err)
		}
		t.inner = own
	}
	t.keepalive.use(t.inner)
	t.key = fmt.Sprintf("http.load_balancer.attempts.%p", t)
	if lb := h.LoadBalancing; lb != nil {
		t.retriesAnswered = len(lb.RetryMatchRaw) > 0
		lb.RetryMatchRaw = retryMatch(lb.RetryMatchRaw, t.key)
	}
	h.Transport = t.wrap()
	return t, nil
}

// Inner returns the transport that is wrapped.
func (t *Transport) Inner() http.RoundTripper { return t.inner }

// Keeps returns how long the transport keeps idle connections; 0 where that is not known.
func (t *Transport) Keeps() time.Duration { return t.keepalive.keeps() }

// Join adds a source. A nested source belongs to a policy inside one of Caddy's: it
// picks for some of the attempts only.
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

// Leave removes a source. With the last, connections are closed: idle ones now, the
// others after their last attempt.
func (t *Transport) Leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.users--; t.users == 0 {
		t.closing.Store(true)
		t.keepalive.closeIdle()
	}
}

// ended is called at the end of an attempt. Once closing, a connection of HTTP/1
// closes by itself when its request ends; one of several streams must be closed after
// the last.
func (t *Transport) ended() {
	if t.closing.Load() {
		t.keepalive.closeIdle()
	}
}

// Record returns the request's record; nil before its first failure or the first
// pick that was carried.
func (t *Transport) Record(r *http.Request) *Record {
	if t == nil {
		return nil
	}
	return recordOf(r, t.key)
}

// record is Record; it makes the record if there is none.
func (t *Transport) record(r *http.Request) *Record { return newRecordOf(r, t.key) }

// Carry keeps the pick of the address, which is nil where it holds nothing, for the
// attempt that follows. If none follows, the pick is given back with the request's
// next pick, or when the request ends. If nothing can be kept with the request, it is
// given back at once.
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

// attribute returns the source of the attempt, its upstream and its pick; a nil source
// unless one of our policies has picked the upstream. Probes have no server, Caddy's
// own included.
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

// roundTrip makes an attempt for the request. The source, if there is one, sees it.
func (t *Transport) roundTrip(r *http.Request) (*http.Response, error) {
	from, u, pick := t.attribute(r)
	if from == nil {
		return t.pass(r)
	}
	now := instant.Now()
	a, e := from.Begin(r, u, pick, now)
	if a == nil {
		return t.pass(r)
	}
	a.transport, a.address, a.Began, a.Request = t, u.Dial, now, r.Context()
	return a.roundTrip(r, from, endpoint.IdleOf(e))
}

// pass makes an attempt that none of our policies has picked: nothing is reported of
// it. Its body must not be sent again either.
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
