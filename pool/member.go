package pool

import (
	"errors"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-evenkeel/evenkeel/endpoint"
	"github.com/caddy-evenkeel/evenkeel/healthcheck"
	"github.com/caddy-evenkeel/evenkeel/internal/dialaddr"
	"github.com/caddy-evenkeel/evenkeel/internal/instant"
	"github.com/caddy-evenkeel/evenkeel/internal/orders"
	"github.com/caddy-evenkeel/evenkeel/outlier"
)

// member is an upstream of a pool.
type member struct {
	address    string        // as configured, or as a source has returned it: Caddy's name for it
	dialled    string        // the address with global placeholders filled in; state belongs to it
	unresolved error         // why there is no dialled address; nil where there is one
	configured uint32        // weight, by configuration
	weight     atomic.Uint32 // the configured one, or as ordered; above 0 unless configured as 0
	level      int
	limit      int           // of requests at once, by configuration; 0 for none
	known      *addressState // nil for an untracked member, as are latency and host
	latency    *Latency
	host       *outlier.Host // nil also where outlier detection is off
	slots      *endpoint.Slots
	watches    []*healthcheck.Watch

	inFlight  *inFlight      // requests of this pool
	ejectable outlier.Member // of the pool's detector

	connects  bool                      // the plugin can connect to it by itself
	seeking   *healthcheck.Reconnecting // nil unless the plugin connects to it; guarded by the pool's seeking
	lost      atomic.Int64              // instant since which connections to it fail; 0 for they do not
	reached   atomic.Int64              // instant of the latest such connection that succeeded; 0 for none
	failure   atomic.Pointer[string]    // error of the latest attempt that failed; nil for none yet
	gone      atomic.Int64              // instant at which a connection to it failed last; 0 for never
	returning atomic.Pointer[comeback]  // nil unless it has just come back

	idleWarned atomic.Bool // the log says that it closes idle connections

	ordered orders.Effect // what is ordered of it as of the latest build; guarded by the pool's building
	resumed atomic.Int64  // instant since which it gets traffic again after an order; 0 for never

	in   bool         // healthy and not ejected as of the latest build; guarded by the pool's building
	seen atomic.Int64 // instant at which a source last returned it
}

// ages returns the attempts in flight to the member's address; nil for an untracked
// member.
func (m *member) ages() *endpoint.InFlight {
	if m.known == nil {
		return nil
	}
	return &m.known.endpoint.InFlight
}

// joined returns the instant at which the member joined others that were there before;
// 0 for never.
func (m *member) joined() int64 {
	if m.known == nil {
		return 0
	}
	return m.known.joined.Load()
}

// noteJoined notes which members have joined others: those that are fresh, unless all
// are.
func noteJoined(members []*member, fresh func(*member) bool, now int64) {
	var joining []*member
	all := 0
	for _, m := range members {
		if m.known == nil {
			continue
		}
		all++
		if fresh(m) {
			joining = append(joining, m)
		}
	}
	if len(joining) == all {
		return
	}
	for _, m := range joining {
		m.known.joined.Store(now)
	}
}

// newMember returns a member for the upstream at the given dial address. IsNew is
// whether the pool remembered nothing of that, wasIdle whether it had no member there.
// An address that depends on the request gets an untracked member: it stands for many
// upstreams, and clients choose which.
func (p *Pool) newMember(address string, now int64) (m *member, isNew, wasIdle bool) {
	m = p.untracked(address)
	if m.dialled, m.unresolved = dialaddr.Fill(address); m.unresolved != nil {
		return m, false, false
	}
	m.known, isNew, wasIdle = p.memory.acquire(m.dialled, now)
	m.latency, m.slots = m.known.latency, &m.known.endpoint.Slots
	if p.latency != nil {
		m.known.endpoint.InFlight.Read()
	}
	if r := p.options.rules; r != nil {
		m.host = outlier.Acquire(r, m.dialled)
		m.host.Add(p.hostChanges)
		m.connects = p.connects(m)
	}
	return m, isNew, wasIdle
}

// untracked returns a member of which nothing is kept.
func (p *Pool) untracked(address string) *member {
	m := &member{
		address:    address,
		configured: uint32(p.weightOf(address)),
		level:      p.options.level(address),
		limit:      p.options.limits.get(address, p.options.DefaultMaxRequests),
		slots:      new(endpoint.Slots),
		in:         true,

		inFlight: new(inFlight),
	}
	m.weight.Store(m.configured)
	// Caddy counts by address, too, and an address may be configured twice, or be
	// dynamic as well. Members of one address share their counts. A tracked member
	// gets the slots of its endpoint later.
	if i, ok := p.static.index[address]; ok {
		m.slots, m.inFlight = p.static.members[i].slots, p.static.members[i].inFlight
	}
	return m
}

// watch has the pool's checks watch the member. The watches end when expired, which may
// be nil, returns true.
func (p *Pool) watch(m *member, expired func(time.Time) bool) error {
	switch err := m.unresolved; {
	case errors.Is(err, dialaddr.ErrUnset):
		p.log().Warn("upstream is not checked, and cannot be reached: a placeholder in its address has no value; set the variable that it names",
			zap.String("upstream", m.address), zap.Error(err))
		return nil
	case err != nil:
		if len(p.options.HealthChecks) > 0 {
			p.log().Warn("upstream is not checked: its address depends on the request",
				zap.String("upstream", m.address), zap.Error(err))
		}
		return nil
	}
	for _, check := range p.options.HealthChecks {
		w, err := check.Watch(m.dialled, p.changed, expired)
		if err != nil {
			return err
		}
		m.watches = append(m.watches, w)
	}
	return nil
}

// release gives back what the member uses, except its watches. With remember, what is
// known of its address stays for a while: the next configuration may use it.
func (p *Pool) release(m *member, remember bool) {
	if m.known == nil {
		return
	}
	if p.latency != nil {
		m.known.endpoint.InFlight.Unread()
	}
	rules, limit := "", 0
	if m.host != nil {
		m.host.Remove(p.hostChanges)
		rules = p.options.rules.Key()
	}
	if remember {
		limit = max(p.limit, len(p.statics))
	}
	p.memory.release(m.known, rules, limit, instant.Now())
}
