package pool

import (
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
	"github.com/caddy-evenkeel/evenkeel/internal/instant"
)

// seeks reports whether the plugin can connect to the member by itself, to see when it
// is back.
func (p *Pool) seeks(m *member) bool { return p.connector != nil && m.host != nil }

// seek has the plugin connect to the member until that succeeds.
func (p *Pool) seek(m *member) {
	p.seeking.Lock()
	defer p.seeking.Unlock()
	if m.seeking != nil || p.isEnded() {
		return
	}
	now := instant.Now()
	m.gone.Store(false)
	m.host.Seek(1)
	m.seeking = p.checks.Reconnect(healthcheck.Reconnection{
		Dialled:   m.dialled,
		Connector: p.connector,
		Since:     now,
		Hurry:     func() bool { return p.queue.Held() > 0 },
		Failed:    func() { m.gone.Store(true) },
		Reached:   func() { p.reached(m) },
		Accepting: m.host.State(now).Accepted,
	})
}

// reached notes that a connection to the member has succeeded.
func (p *Pool) reached(m *member) {
	if p.takeSeeking(m) == nil {
		return
	}
	defer m.host.Seek(-1) // until then the ejection does not end by itself
	now := instant.Now()
	if p.options.hold != nil {
		m.returning.Store(newReturn())
	}
	m.reached.Store(now)
	if m.host.Reached(now) {
		p.logger.Info("upstream can be connected to again", zap.String("upstream", m.address))
		m.host.Changed()
	}
	for _, ms := range p.membershipsWith(m) {
		ms.history.outage.back.Store(now)
		p.queue.Wake(ms)
	}
}

// endSeeking ends connections to the member.
func (p *Pool) endSeeking(m *member) {
	if r := p.takeSeeking(m); r != nil {
		r.Stop()
		m.host.Seek(-1)
	}
}

// takeSeeking returns the connections to the member, which has none any more; nil if it
// had none.
func (p *Pool) takeSeeking(m *member) *healthcheck.Reconnecting {
	p.seeking.Lock()
	defer p.seeking.Unlock()
	r := m.seeking
	m.seeking = nil
	return r
}

// updateSeeking begins or ends connections to the member, as its state wants.
func (p *Pool) updateSeeking(m *member, s *state) {
	if s.lost {
		m.lost.CompareAndSwap(0, instant.Now())
	} else if m.lost.Load() != 0 {
		m.lost.Store(0)
	}
	switch {
	case s.lost, s.closes:
		p.seek(m)
	case m.host != nil && p.queue.Held() == 0:
		p.endSeeking(m)
	}
}

// hasten has the plugin connect at once to the members that it seeks: a request waits
// for one of them.
func (p *Pool) hasten(ms *membership) {
	p.seeking.Lock()
	defer p.seeking.Unlock()
	for _, m := range ms.members {
		if m.seeking != nil {
			m.seeking.Hasten()
		}
	}
}

// outage is since when a membership has no upstream that can be connected to.
type outage struct {
	lost atomic.Int64 // when it lost its last upstream; 0 while it has one
	back atomic.Int64 // when one could last be connected to again; 0 for never
}

// forgiven is for how long an upstream must have been back, though none has answered,
// for the next loss to begin a new outage.
const forgiven = 10 * time.Second

// lose notes that the membership has no upstream left, and returns since when.
func (p *Pool) lose(ms *membership, now int64) (since int64) {
	o := &ms.history.outage
	since = o.lost.Load()
	if back := o.back.Load(); since != 0 && !(back > since && now-back >= int64(forgiven)) {
		return since
	}
	if !o.lost.CompareAndSwap(since, now) {
		return o.lost.Load() // another request was faster
	}
	if since == 0 {
		p.memory.outages.Add(1)
	}
	return now
}

// answered notes that the member has answered: its outages are over.
func (p *Pool) answered(m *member) {
	if p.memory == nil || p.memory.outages.Load() == 0 {
		return
	}
	for _, ms := range p.membershipsWith(m) {
		if ms.history.outage.lost.Swap(0) != 0 {
			p.memory.outages.Add(-1)
			p.logger.Info("an upstream is back: requests go on", zap.String("policy", p.policy),
				zap.String("upstream", m.address), zap.Int("waiting", p.queue.Held()))
		}
	}
}
