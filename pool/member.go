package pool

import (
	"errors"
	"math"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
	"github.com/caddy-evenkeel/evenkeel/internal/dialaddr"
	"github.com/caddy-evenkeel/evenkeel/internal/instant"
)

// member is an upstream that the pool knows.
type member struct {
	address string // as configured, or as a source has returned it: Caddy's name for it
	dialled string // the same with global placeholders filled in, to which state belongs
	weight  uint32 // by configuration
	level   int
	limit   int      // of requests at once, by configuration; 0 for none
	place   *place   // nil where nothing is kept
	latency *Latency // nil where nothing is kept
	outlier *outlier // nil where outlier detection is off, and where nothing is kept
	slots   *slots
	load    *load
	watches []*healthcheck.Watch

	counted   counted // guarded by the pool's ejecting
	ejectedIn uint64  // number of the build that its latest ejection came after; likewise

	in   bool         // gets traffic as of the latest build; guarded by the pool's building
	seen atomic.Int64 // instant at which a source last returned it
}

// joined returns when the member joined others that were there before; zero for
// never.
func (m *member) joined() int64 {
	if m.place == nil {
		return 0
	}
	return m.place.joined.Load()
}

// welcome notes which members have joined others: those that are fresh, while the
// rest was there before.
func welcome(members []*member, fresh func(*member) bool, now int64) {
	var joining []*member
	all := 0
	for _, m := range members {
		if m.place == nil {
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
		m.place.joined.Store(now)
	}
}

// newMember returns a member for the upstream at the given dial address; and whether
// the pool remembered nothing of that, or had no member there. Where the address
// depends on the request, it is one of which nothing is kept: it stands for many, and
// clients choose which.
func (p *Pool) newMember(address string, now int64) (m *member, isNew, wasIdle bool) {
	m = p.loner(address)
	dialled, err := dialaddr.Fill(address)
	if err != nil {
		return m, false, false
	}
	m.dialled = dialled
	m.place, isNew, wasIdle = p.memory.acquire(dialled, now)
	m.latency, m.slots = m.place.latency, m.place.endpoint.slots
	if p.timed {
		m.latency.flights.readers.Add(1)
	}
	if r := p.options.rules; r != nil {
		m.outlier = outliers.Acquire(outlierKey{r.key, dialled}, func() *outlier { return &outlier{rules: r} })
		m.outlier.join(p)
	}
	return m, isNew, wasIdle
}

// loner returns a member of which nothing is kept.
func (p *Pool) loner(address string) *member {
	m := &member{
		address: address,
		weight:  uint32(p.options.weights.get(address, 1)),
		level:   p.options.level(address),
		limit:   p.options.limits.get(address, p.options.DefaultMaxRequests),
		slots:   new(slots),
		load:    new(load),
		in:      true,
	}
	// Caddy counts by address, too: one may be configured twice, or be dynamic as
	// well. That of which something is known has the process's slots.
	if i, ok := p.static.index[address]; ok {
		m.slots, m.load = p.static.members[i].slots, p.static.members[i].load
	}
	return m
}

// watch has the pool's checks watch the member. Expired, unless nil, tells when
// the watches end.
func (p *Pool) watch(m *member, expired func(time.Time) bool) error {
	switch _, err := dialaddr.Fill(m.address); {
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
	if m.place == nil {
		return
	}
	if p.timed {
		m.latency.flights.readers.Add(-1)
	}
	rules, limit := "", 0
	if m.outlier != nil {
		m.outlier.leave(p)
		rules = p.options.rules.key
	}
	if remember {
		limit = max(p.limit, len(p.statics))
	}
	p.memory.release(m.place, rules, limit, instant.Now())
}

// standing is what a member is at a moment.
type standing struct {
	verdict  healthcheck.Verdict
	degraded bool
	phase    phase
	failing  bool    // every attempt fails, but there is no other upstream
	held     bool    // its ejection is one of those that a share is set for
	weight   float64 // as configured and as its agent wants it; 0 takes nothing new
	percent  int     // of the weight that it gets, in a slow start
	maint    bool    // takes not even what belongs to its sessions, says its agent
	limit    int     // of requests at once, by configuration and by its agent; 0 for none
	until    int64   // when this changes by itself; 0 for never
}

// up reports whether the member may get traffic.
func (s *standing) up() bool {
	return s.weight > 0 && s.verdict == healthcheck.Healthy && s.phase != ejected
}

// stand returns how the member stands. One that fails a check counts for more
// than one that has not had its say.
func (m *member) stand(o *Options, now int64) standing {
	s := standing{weight: float64(m.weight), percent: 100, limit: m.limit}
	ordered := false
	var recovered, mended, failed time.Time
	for _, w := range m.watches {
		state := w.State()
		switch {
		case state.Unproven:
			s.verdict = healthcheck.Checking
		case state.Verdict == healthcheck.Unhealthy && s.verdict == healthcheck.Healthy:
			s.verdict = healthcheck.Unhealthy
		}
		s.degraded = s.degraded || state.Degraded
		s.maint = s.maint || state.Orders.Maint()
		// Of several agents, the one that wants the least has its way.
		if w := state.Orders.Weight(m.weight); m.weight > 0 && w != float64(m.weight) && (!ordered || w < s.weight) {
			s.weight, ordered = w, true
		}
		s.limit = least(s.limit, state.Orders.Limit())
		recovered = later(recovered, later(state.Recovered, state.Orders.Resumed()))
		if m.joined() != 0 {
			recovered = later(recovered, state.Since) // also from checking
		}
		if state.Mended.After(mended) && state.Mended.After(state.Failed) {
			mended, failed = state.Mended, state.Failed
		}
	}
	if !mended.IsZero() && m.outlier.release(now, instant.Of(failed)) {
		m.outlier.changed() // other pools may not have that check
	}
	l := m.outlier.look(now)
	s.phase, s.until, s.failing = l.phase, l.until, l.failing
	s.held = l.held
	if o.SlowStart != nil && s.up() && s.phase == serving {
		began := max(l.proven, m.joined())
		if !recovered.IsZero() {
			began = max(began, instant.Of(recovered))
		}
		s.percent, s.until = o.SlowStart.percent(began, now)
	}
	return s
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// scale returns integers in the proportion of the weights. They are the weights
// themselves where those are integers.
func scale(weights []float64) []uint32 {
	unit, most := 1.0, 0.0
	for _, w := range weights {
		most = max(most, w)
		if w != math.Trunc(w) {
			unit = 100
		}
	}
	if most*unit > math.MaxInt32 {
		unit = math.MaxInt32 / most
	}
	scaled := make([]uint32, len(weights))
	for i, w := range weights {
		scaled[i] = max(uint32(math.Round(w*unit)), 1)
	}
	return scaled
}
