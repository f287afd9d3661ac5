package pool

import (
	"errors"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
)

// view is a set of upstreams that are picked from together: the handler's
// static ones, or what a dynamic source has returned. Its members never change,
// its snapshot does.
type view struct {
	members   []*member
	upstreams []*reverseproxy.Upstream // of the members; nil where they are dynamic
	index     map[string]int           // of the members by address; only where they are dynamic
	snapshot  atomic.Pointer[Snapshot]
	asked     atomic.Int64 // instant of the latest pick; only where members are dynamic
}

// member is an upstream that the pool knows.
type member struct {
	address string
	weight  uint32
	latency *Latency
	watches []*healthcheck.Watch
	wasUp   atomic.Bool  // at the latest build
	seen    atomic.Int64 // instant at which a source last returned it
}

// snapshotOf returns the view's snapshot if the upstreams are those of the view,
// which is told by the slice itself, or those of the snapshot.
func (v *view) snapshotOf(upstreams []*reverseproxy.Upstream) *Snapshot {
	s := v.snapshot.Load()
	if same(upstreams, v.upstreams) || same(upstreams, s.upstreams) {
		return s
	}
	return nil
}

func same(a, b []*reverseproxy.Upstream) bool {
	return len(a) == len(b) && len(b) > 0 && &a[0] == &b[0]
}

// newMember returns a member for the upstream at the given dial address.
func (p *Pool) newMember(address string) *member {
	m := &member{address: address, weight: p.options.weight(address), latency: latencies.acquire(address, instant(time.Now()))}
	m.wasUp.Store(true)
	return m
}

// watch has the pool's checks watch the member. Expired, unless nil, tells when
// the watches end.
func (p *Pool) watch(m *member, expired func(time.Time) bool) error {
	for _, check := range p.options.HealthChecks {
		w, err := check.Watch(m.address, p.changed, expired)
		if errors.Is(err, healthcheck.ErrPlaceholder) {
			p.logger.Warn("upstream is not checked: its address depends on the request",
				zap.String("upstream", m.address), zap.Error(err))
			return nil
		}
		if err != nil {
			return err
		}
		m.watches = append(m.watches, w)
	}
	return nil
}

// release gives back what the member holds but for its watches.
func (m *member) release() { latencies.release(m.address, instant(time.Now())) }

// verdict returns what the checks hold the member to be. One that fails counts
// for more than one that has not had its say.
func (m *member) verdict() healthcheck.Verdict {
	worst := healthcheck.Healthy
	for _, w := range m.watches {
		switch s := w.State(); {
		case s.Unproven:
			return healthcheck.Checking
		case s.Verdict == healthcheck.Unhealthy:
			worst = s.Verdict
		}
	}
	return worst
}

// build makes the view's snapshot.
func (p *Pool) build(v *view) {
	before := v.snapshot.Load()
	s := &Snapshot{}
	up, weighted := 0, 0
	verdicts := make([]healthcheck.Verdict, len(v.members))
	for i, m := range v.members {
		verdicts[i] = m.verdict()
		if m.weight > 0 {
			weighted++
		}
		if verdicts[i] == healthcheck.Healthy && m.weight > 0 {
			up++
		}
	}
	ignore := p.panics(up, weighted)
	for i, m := range v.members {
		isUp := verdicts[i] == healthcheck.Healthy
		if m.wasUp.Swap(isUp) != isUp {
			m.latency.forget() // it comes back as a newcomer
		}
		if m.weight == 0 || verdicts[i] == healthcheck.Checking || !isUp && !ignore {
			continue
		}
		s.Candidates = append(s.Candidates, Candidate{Address: m.address, Weight: m.weight, Latency: m.latency, member: i})
		if v.upstreams != nil {
			s.upstreams = append(s.upstreams, v.upstreams[i])
		}
	}
	s.made = make([]any, len(p.pickers))
	if len(s.Candidates) > 0 {
		for slot, picker := range p.pickers {
			if before == nil {
				s.made[slot] = picker.Build(s, nil, nil)
			} else {
				s.made[slot] = picker.Build(s, before, before.made[slot])
			}
		}
	}
	v.snapshot.Store(s)
}

// panics reports whether verdicts are ignored where so many of the upstreams that
// have weight are up.
func (p *Pool) panics(up, weighted int) bool {
	threshold := p.options.PanicThreshold
	switch {
	case threshold == nil:
		return up == 0
	case *threshold == 0:
		return false
	}
	return up == 0 || float64(up)*100 < *threshold*float64(weighted)
}
