package pool

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// Attempt is the outcome of one attempt to have a request served by an
// upstream.
type Attempt struct {
	Upstream string // dial address
	Began    time.Time
	Duration time.Duration  // until the response header, or the error
	Response *http.Response // nil where Err is not
	Err      error          // dial error, reset, timeout …
}

// Failed reports whether the attempt got no answer, or one that says that
// nobody was there to serve it: 502, 503 or 504. Other statuses are an
// application's own, 500 among them.
func (a Attempt) Failed() bool {
	if a.Err != nil {
		return true
	}
	switch a.Response.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// observer sees all attempts of a handler: it stands before the handler's
// transport. There is one for each handler, whatever the number of policies.
type observer struct {
	inner      http.RoundTripper
	key        string        // of what a request has tried, in its replacer
	picked     string        // of what was picked, likewise
	answered   bool          // an answered request may be retried, too
	decay      time.Duration // of the latency estimates
	toLastByte bool          // latency is until the last byte, not until the header
	fleet      fleet

	marking atomic.Bool // one of the policies is inside one of Caddy's
	closing atomic.Bool // users is 0

	mu    sync.Mutex
	users int // pools that are not closed
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
	o.answered = h.LoadBalancing != nil && len(h.LoadBalancing.RetryMatchRaw) > 0
	h.Transport = o.wrap()
	return o, nil
}

// join counts a pool in; nested ones belong to a policy inside one of Caddy's,
// so that not every attempt is of their picking.
func (o *observer) join(nested bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.users++
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

// mark notes what a policy inside one of Caddy's has picked.
func (o *observer) mark(r *http.Request, address string) {
	if !o.marking.Load() {
		return
	}
	if repl := Replacer(r); repl != nil {
		repl.Set(o.picked, address)
	}
}

// concerns returns the upstream that the request goes to; empty unless it is
// an attempt that one of our policies has picked. Probes have no server, Caddy's
// own ones as well.
func (o *observer) concerns(r *http.Request) string {
	ctx := r.Context()
	dial, ok := reverseproxy.GetDialInfo(ctx)
	if !ok || dial.Upstream == nil || ctx.Value(caddyhttp.ServerCtxKey) == nil {
		return ""
	}
	if o.marking.Load() {
		repl := Replacer(r)
		if repl == nil {
			return ""
		}
		picked, _ := repl.Get(o.picked)
		repl.Delete(o.picked)
		if picked != dial.Upstream.Dial {
			return ""
		}
	}
	return dial.Upstream.Dial
}

// roundTrip makes an attempt and takes in what comes of it. Neither request
// nor response nor error change on the way.
func (o *observer) roundTrip(r *http.Request) (*http.Response, error) {
	address := o.concerns(r)
	began := time.Now()
	var flying *attempt
	if address != "" {
		if l := latencies.get(address); l != nil {
			flying = l.begin(instant(began))
		}
	}
	returned := false
	defer func() {
		if !returned { // the transport has panicked
			o.end(flying)
		}
	}()
	res, err := o.inner.RoundTrip(r)
	returned = true

	a := Attempt{Upstream: address, Began: began, Duration: time.Since(began), Response: res, Err: err}
	gone := err != nil && r.Context().Err() != nil // a client that went away is nobody's failure
	if address != "" && (err != nil && !gone || err == nil && o.answered) {
		noteTried(r, o.key, address)
	}
	if err != nil || res.Body == nil || res.Body == http.NoBody || res.StatusCode == http.StatusSwitchingProtocols {
		if !gone {
			o.sample(flying, a)
		}
		o.end(flying)
		return res, err
	}
	if !o.toLastByte || a.Failed() {
		o.sample(flying, a)
		flying = flying.landed()
	}
	// Plain HTTP/1 connections that were asked to close when idle do so; those
	// that carry several streams must be asked again after the last one.
	if flying == nil && res.ProtoMajor < 2 {
		o.end(nil)
		return res, nil
	}
	o.watchBody(flying, a)
	return res, nil
}

// watchBody takes in the end of an attempt's response. That is what the latency
// is measured to, unless flying is nil; a response that was not read to its end
// tells nothing.
func (o *observer) watchBody(flying *attempt, a Attempt) {
	a.Response.Body = &watchedBody{
		ReadCloser: a.Response.Body,
		ended: func(complete bool) {
			if complete {
				a.Duration = time.Since(a.Began)
				o.sample(flying, a)
			}
			flying.landed()
		},
		closed: func() { o.end(nil) },
	}
}

// landed ends the attempt, if there is one.
func (a *attempt) landed() *attempt {
	if a != nil {
		a.end()
	}
	return nil
}

// end notes the end of an attempt; flying is nil if its latency was taken before.
func (o *observer) end(flying *attempt) {
	flying.landed()
	if o.closing.Load() {
		o.closeIdle()
	}
}

// sample takes in a latency.
func (o *observer) sample(flying *attempt, a Attempt) {
	if flying == nil {
		return
	}
	now := instant(a.Began.Add(a.Duration))
	flying.latency.observe(now, a.Duration, a.Failed(), o.decay)
	if !a.Failed() {
		o.fleet.observe(now, a.Duration)
	}
}

// watchedBody tells when a response is done with.
type watchedBody struct {
	io.ReadCloser
	once   sync.Once
	ended  func(complete bool) // called once
	closed func()
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.once.Do(func() { b.ended(err == io.EOF) })
	}
	return n, err
}

func (b *watchedBody) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(func() { b.ended(false) })
	b.closed()
	return err
}
