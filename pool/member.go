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
	"github.com/caddy-evenkeel/evenkeel/outlier"
)

// member is an upstream that the pool knows.
type member struct {
	address    string // as configured, or as a source has returned it: Caddy's name for it
	dialled    string // the same with global placeholders filled in, to which state belongs
	unresolved error  // why there is no dialled address; nil where there is one
	weight     uint32 // by configuration
	level      int
	limit      int           // of requests at once, by configuration; 0 for none
	known      *addressState // nil for an untracked member, as are the next two
	latency    *Latency
	host       *outlier.Host // nil also where outlier detection is off
	slots      *endpoint.Slots
	watches    []*healthcheck.Watch

	inFlight  *inFlight      // requests that this pool has picked for
	ejectable outlier.Member // of the pool's detector

	in   bool         // gets traffic as of the latest build; guarded by the pool's building
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

// joined returns when the member joined others that were there before; zero for
// never.
func (m *member) joined() int64 {
	if m.known == nil {
		return 0
	}
	return m.known.joined.Load()
}

// welcome notes which members have joined others: those that are fresh, while the
// rest was there before.
func welcome(members []*member, fresh func(*member) bool, now int64) {
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

// newMember returns a member for the upstream at the given dial address; and whether
// the pool remembered nothing of that, or had no member there. Where the address
// depends on the request, it is one of which nothing is kept: it stands for many, and
// clients choose which.
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
	}
	return m, isNew, wasIdle
}

// untracked returns a member of which nothing is kept.
func (p *Pool) untracked(address string) *member {
	m := &member{
		address: address,
		weight:  uint32(p.options.weights.get(address, 1)),
		level:   p.options.level(address),
		limit:   p.options.limits.get(address, p.options.DefaultMaxRequests),
		slots:   new(endpoint.Slots),
		in:      true,

		inFlight: new(inFlight),
	}
	// Caddy counts by address, too: one may be configured twice, or be dynamic as
	// well. That of which something is known has the process's slots.
	if i, ok := p.static.index[address]; ok {
		m.slots, m.inFlight = p.static.members[i].slots, p.static.members[i].inFlight
	}
	return m
}

// watch has the pool's checks watch the member. Expired, unless nil, tells when
// the watches end.
func (p *Pool) watch(m *member, expired func(time.Time) bool) error {
	switch err := m.unresolved; {
	case errors.Is(err, dialaddr.ErrUnset):
		p.logger.Warn("upstream is not checked, and cannot be reached: a placeholder in its address has no value; set the variable that it names",
			zap.String("upstream", m.address), zap.Error(err))
		return nil
	case err != nil:
		if len(p.options.HealthChecks) > 0 {
			p.logger.Warn("upstream is not checked: its address depends on the request",
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

// release gives back what the member holds but for its watches. Where it is to be
// remembered, it is so for a while: the next configuration may want it.
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
