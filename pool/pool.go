package pool

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/attempt"
	"github.com/caddy-evenkeel/evenkeel/healthcheck"
	"github.com/caddy-evenkeel/evenkeel/internal/app"
	"github.com/caddy-evenkeel/evenkeel/internal/budget"
	"github.com/caddy-evenkeel/evenkeel/internal/eventqueue"
	"github.com/caddy-evenkeel/evenkeel/internal/instant"
	"github.com/caddy-evenkeel/evenkeel/internal/orders"
	"github.com/caddy-evenkeel/evenkeel/internal/ratelimit"
	"github.com/caddy-evenkeel/evenkeel/internal/wakeup"
	"github.com/caddy-evenkeel/evenkeel/outlier"
	"github.com/caddy-evenkeel/evenkeel/queue"
)

// DefaultDecay is the default of [LatencyFeature.Decay].
const DefaultDecay = time.Second

// Pool is what a policy picks from.
type Pool struct {
	policy       string // name of the module
	naming       atomic.Pointer[naming]
	baseLogger   *zap.Logger // without the name
	options      *Options
	identity     identity
	memory       *memory                   // what outlives reloads; from Start on
	fleet        *fleet                    // the memory's
	budget       *budget.Budget            // the memory's; nil where extra attempts have no limit
	generation   uint64                    // of the configuration
	statics      reverseproxy.UpstreamPool // the handler's static upstreams; nil without a handler
	fixed        bool                      // there are no dynamic ones
	transport    *attempt.Transport        // nil without a handler
	ctx          caddy.Context
	events       *caddyevents.App
	handles      []*Handle // of the policies: the pool's own, then those inside it
	called       []*Handle // those of them that are inside one of Caddy's own, which calls their Select
	static       *membership
	dynamic      dynamics
	source       source                 // of dynamic upstreams
	expiry       time.Duration          // of addresses from dynamic sources
	limit        int                    // of addresses from dynamic sources
	unsaid       int                    // limit that the handler sets for upstreams that have none of their own; 0 for none
	queue        *queue.Queue           // nil where requests never wait
	connector    *healthcheck.Connector // nil where the plugin cannot connect to upstreams by itself
	triesOn      bool                   // Caddy tries again for lb_try_duration
	mostAttempts int                    // of a request of which something was sent; 0 for as many as Caddy makes
	refusedKey   string                 // replacer key of requests that the queue has refused
	detector     *outlier.Detector      // nil where outlier detection is off
	hostChanges  *outlier.Subscription
	counting     bool            // requests in flight are counted, since a policy has a bound
	sessions     bool            // a policy has sessions
	latency      *LatencyFeature // nil where no policy picks by latency; else attempts are timed, and an answer that asks to back off counts as latency, not as failure
	undos        []func(*http.Request, http.Header)
	hides        []func(http.Header) (http.Header, bool)

	responseObservers []func(ctx context.Context, address string, header http.Header)

	budgetLog ratelimit.PerSecond // of the log entry that a retry was refused
	goneLog   ratelimit.PerSecond // of the log entry that a source returns no upstreams
	outageLog ratelimit.PerSecond // of the log entry that an outage begins
	backLog   ratelimit.PerSecond // of the log entry that an outage ends
	noneLog   ratelimit.PerSecond // of the log entry that no upstream is left
	fullLog   ratelimit.PerSecond // of the log entry that dynamic_limit is reached
	wakeUp    wakeup.Timer        // for states that change by themselves
	intervals wakeup.Timer        // for the ends of outlier detection's intervals

	serving  atomic.Bool          // operators see it
	orders   *orders.Subscription // nil for a pool without handler
	pausedBy *orders.Order        // as of the latest build; guarded by building

	app        *app.App           // nil where the pool has neither handler nor checks, as are the next two
	checks     *healthcheck.Group // what its checks share
	eventQueue *eventqueue.Events // of its events and of those of its checks

	comebacks atomic.Int32 // members that have just come back: see [returnGate]

	seeking  sync.Mutex   // guards the members' field seeking
	rested   atomic.Int64 // instant before which no further build begins
	building sync.Mutex   // held for a build, and to create a membership

	mu     sync.Mutex     // guards all below
	stale  bool           // a build is due
	closed bool           // no more checks, and no more upstreams
	ended  bool           // no more builds
	builds sync.WaitGroup // builds under way, and other work in the background
}

// Close ends the pool's checks and waits for what they have under way. Picks go on to
// work, on the last snapshot. Requests that wait go on waiting for an upstream: what
// they need of the pool ends with the last of them.
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
	p.source.followed.leave()
	p.leave()
	p.intervals.Close()
	p.dynamic.expiry.Close()
	var watches []*healthcheck.Watch
	for _, m := range p.members() {
		watches = append(watches, m.watches...)
	}
	if p.app != nil {
		healthcheck.Close(p.app.CloseBy(), watches...)
	}
	if p.queue != nil {
		p.queue.Close(p.end)
	} else {
		p.end()
	}
	if p.app != nil {
		p.eventQueue.Close(p.app.CloseBy())
	}
	var err error
	for _, check := range p.options.HealthChecks {
		if check == nil {
			continue
		}
		if e := check.Close(); e != nil {
			err = e
		}
	}
	return err
}

// end ends what requests that wait need of the pool: its members, and snapshots of
// them.
func (p *Pool) end() {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.wakeUp.Close()
	p.orders.End()
	members := p.members()
	p.dynamic.close()
	for _, m := range members {
		p.endSeeking(m)
		p.release(m, true)
	}
	if p.memory != nil {
		memories.release(p, instant.Now())
	}
	if p.app != nil {
		p.checks.CloseReconnections(p.app.CloseBy())
	}
	p.builds.Wait()
	if p.transport != nil {
		p.transport.Leave()
	}
}

// members returns all members.
func (p *Pool) members() (members []*member) {
	if p.static != nil {
		members = slices.Clone(p.static.members)
	}
	p.dynamic.members.Range(func(_, m any) bool {
		members = append(members, m.(*member))
		return true
	})
	return members
}

// isClosed reports whether the pool takes in no more upstreams.
func (p *Pool) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// isEnded reports whether no more snapshots are built.
func (p *Pool) isEnded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}

// background runs the function in a goroutine that the pool's end waits for. It returns
// false if the pool has ended.
func (p *Pool) background(f func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return false
	}
	p.builds.Go(f)
	return true
}

// member returns the member with the given address; nil if there is none.
func (p *Pool) member(address string) *member {
	if i, ok := p.static.index[address]; ok {
		return p.static.members[i]
	}
	if ms := p.dynamic.latest.Load(); ms != nil {
		if i, ok := ms.index[address]; ok {
			return ms.members[i]
		}
	}
	if m, ok := p.dynamic.members.Load(address); ok {
		return m.(*member)
	}
	return nil
}
