package pool

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
)

// DefaultDecay is the time within which a latency estimate forgets.
const DefaultDecay = time.Second

// Pool is what a policy picks from.
type Pool struct {
	options  *Options
	statics  reverseproxy.UpstreamPool // the handler's; nil where there is none
	observer *observer                 // likewise
	logger   *zap.Logger
	pickers  []Picker
	static   *view
	dynamic  dynamics
	expiry   time.Duration // of addresses from dynamic sources
	limit    int           // likewise
	noneLog  limiter       // of the log line that nobody is left
	fullLog  limiter       // of the log line that the limit is reached

	building sync.Mutex // one build at a time
	mu       sync.Mutex
	stale    bool           // a build is due
	closed   bool           // no more builds
	builds   sync.WaitGroup // those under way
}

// Handle is a picker's place in a pool.
type Handle struct {
	pool   *Pool
	picker Picker
	slot   int
	owner  bool // the pool was made for it
}

// owner is a policy that has a pool.
type owner interface{ handle() *Handle }

func (h *Handle) handle() *Handle { return h }

// Provision gives the picker a pool: that of the policy of ours which it is
// inside of, else one of its own, with the given options. Close must be called
// whether it succeeds or not.
func (h *Handle) Provision(ctx caddy.Context, o *Options, picker Picker) error {
	h.picker = picker
	outer, handler, nested := around(ctx)
	if outer != nil {
		if option := o.common(); option != "" {
			return fmt.Errorf("%s: %s", option, outersBusiness)
		}
		h.pool = outer.pool
		h.slot = len(h.pool.pickers)
		h.pool.pickers = append(h.pool.pickers, picker)
		return nil
	}
	p := &Pool{options: o, logger: ctx.Logger(), pickers: []Picker{picker}, expiry: time.Hour, limit: 10_000}
	h.pool, h.owner = p, true
	if err := o.provision(); err != nil {
		return err
	}
	if handler != nil {
		if err := p.attach(ctx, handler, nested); err != nil {
			return err
		}
	}
	for _, check := range o.HealthChecks {
		var inner http.RoundTripper
		if p.observer != nil {
			inner = p.observer.inner
		}
		if err := check.Provision(ctx, inner); err != nil {
			return err
		}
		p.expiry, p.limit = check.Dynamic()
	}
	return nil
}

// Start makes the first snapshot. It is called when the pickers inside, if any,
// are provisioned.
func (h *Handle) Start() error {
	if !h.owner {
		return nil
	}
	p := h.pool
	p.building.Lock() // a check shared with the running configuration may flip
	defer p.building.Unlock()
	p.static = &view{upstreams: p.statics}
	for _, u := range p.statics {
		m := p.newMember(u.Dial)
		p.static.members = append(p.static.members, m)
		if err := p.watch(m, nil); err != nil {
			return fmt.Errorf("upstream %s: %v", u.Dial, err)
		}
	}
	p.build(p.static)
	return nil
}

// around returns what the module under provision is inside of: the policy of
// ours that it serves, if any; the handler; and whether one of Caddy's own
// policies is between.
func around(ctx caddy.Context) (outer *Handle, handler *reverseproxy.Handler, nested bool) {
	modules := ctx.Modules()
	if len(modules) > 0 {
		modules = modules[:len(modules)-1] // the module itself
	}
	for _, m := range slices.Backward(modules) {
		switch m := m.(type) {
		case owner:
			return m.handle(), nil, false
		case *reverseproxy.Handler:
			return nil, m, nested
		case reverseproxy.Selector:
			nested = true
		}
	}
	return nil, nil, false
}

// attach binds the pool to a handler: to its upstreams, its transport and its
// retries.
func (p *Pool) attach(ctx caddy.Context, handler *reverseproxy.Handler, nested bool) error {
	if handler.DynamicUpstreamsRaw == nil && handler.DynamicUpstreams == nil {
		addresses := make([]string, len(handler.Upstreams))
		for i, u := range handler.Upstreams {
			addresses[i] = u.Dial
		}
		if err := p.options.checkStatic(addresses); err != nil {
			return err
		}
	}
	if err := p.retries(handler); err != nil {
		return err
	}
	o, err := observe(ctx, handler)
	if err != nil {
		return err
	}
	o.join(nested)
	p.observer, p.statics = o, handler.Upstreams
	return nil
}

// defaultRetries is enough to get past two upstreams that have died since they
// were last looked at.
const defaultRetries = 2

// retries sets the handler's retries, which Caddy then does.
func (p *Pool) retries(handler *reverseproxy.Handler) error {
	lb := handler.LoadBalancing
	switch n := p.options.Retries; {
	case lb == nil:
	case n != nil && lb.Retries > 0:
		return fmt.Errorf("retries: the handler has lb_retries %d already", lb.Retries)
	case n != nil:
		lb.Retries = *n
	case lb.Retries == 0 && lb.TryDuration == 0:
		lb.Retries = defaultRetries
	}
	return nil
}

// SetLatency says how the handler's latencies are to be measured: within what
// time an estimate forgets, and whether until the last byte of a response or
// until its header.
func (h *Handle) SetLatency(decay time.Duration, toLastByte bool) {
	if o := h.pool.observer; o != nil {
		o.decay, o.toLastByte = decay, toLastByte
	}
}

// Close ends the pool's checks and waits for what they have under way. Picks go
// on to work, on the last snapshot.
func (h *Handle) Close() error {
	if !h.owner || h.pool == nil {
		return nil
	}
	p := h.pool
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	p.mu.Unlock()

	var watches []*healthcheck.Watch
	var members []*member
	if p.static != nil {
		members = p.static.members
	}
	members = append(slices.Clone(members), p.dynamic.close()...)
	for _, m := range members {
		watches = append(watches, m.watches...)
		m.release()
	}
	healthcheck.Close(watches...)
	p.builds.Wait()
	var err error
	for _, check := range p.options.HealthChecks {
		if check == nil {
			continue
		}
		if e := check.Close(); e != nil {
			err = e
		}
	}
	if p.observer != nil {
		p.observer.leave()
	}
	return err
}

// Select picks one of the upstreams for the request; nil if there is none.
func (h *Handle) Select(upstreams reverseproxy.UpstreamPool, r *http.Request, w http.ResponseWriter) *reverseproxy.Upstream {
	p := h.pool
	if len(upstreams) == 0 {
		return nil
	}
	q := Query{Request: r, Writer: w}
	if o := p.observer; o != nil {
		q.fleet = &o.fleet
		if !p.options.RetrySame {
			q.tried = triedBy(r, o.key)
		}
	}
	var picked *reverseproxy.Upstream
	if s := p.static.snapshotOf(upstreams); s != nil {
		q.Candidates, q.Upstreams = s.Candidates, s.upstreams
		picked = h.pick(s, q)
	} else {
		picked = h.selectDynamic(upstreams, q)
	}
	if picked == nil {
		p.logNone(upstreams, q.tried)
	} else if p.observer != nil {
		p.observer.mark(r, picked.Dial)
	}
	return picked
}

// pick asks the picker; where the request has tried everybody else, an upstream
// may be tried again.
func (h *Handle) pick(s *Snapshot, q Query) *reverseproxy.Upstream {
	if len(s.Candidates) == 0 {
		return nil
	}
	q.Made = s.made[h.slot]
	u := h.picker.Pick(q)
	if u == nil && q.tried != nil {
		q.tried = nil
		u = h.picker.Pick(q)
	}
	return u
}

// changed has the snapshots made anew, for a verdict has flipped. Flips that
// come while one is being made share the next.
func (p *Pool) changed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stale || p.closed {
		return
	}
	p.stale = true
	p.builds.Go(func() {
		p.building.Lock()
		defer p.building.Unlock()
		p.mu.Lock()
		p.stale = false
		p.mu.Unlock()
		p.build(p.static)
		for _, v := range p.dynamic.all() {
			p.build(v)
		}
	})
}
