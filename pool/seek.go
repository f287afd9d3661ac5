package pool

import (
	"slices"

	"go.uber.org/zap"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
	"github.com/caddy-evenkeel/evenkeel/internal/instant"
	"github.com/caddy-evenkeel/evenkeel/internal/resources"
)

// seeks reports whether the plugin can connect to the member by itself, to see when it
// is back.
func (p *Pool) seeks(m *member) bool { return m.connects }

// connects reports whether the plugin can connect to the member, whose address is
// resolved. To one that it cannot, requests find the way back.
func (p *Pool) connects(m *member) bool {
	if p.connector == nil {
		return false
	}
	if err := p.connector.Connects(m.dialled); err != nil {
		p.log().Debug("upstream is not connected to by the plugin: requests find out when it is back",
			zap.String("upstream", m.address), zap.Error(err))
		return false
	}
	return true
}

// seek has the plugin connect to the member until that succeeds, or no source has
// returned the member for too long.
func (p *Pool) seek(m *member) {
	p.seeking.Lock()
	defer p.seeking.Unlock()
	now := instant.Now()
	if m.seeking != nil || p.gone(m, now) || p.isEnded() {
		return
	}
	m.host.Seek(1)
	m.seeking = p.checks.Reconnect(healthcheck.Reconnection{
		Dialled:   m.dialled,
		Connector: p.connector,
		Since:     now,
		Hurry:     func() bool { return p.queue.Held() > 0 },
		Failed:    func(err error) { p.notReached(m, err) },
		Reached:   func() { p.reached(m) },
		Accepting: m.host.State(now, m.connects).Accepted,
	})
}

// notReached notes that a connection to the member has failed. It does not block. What
// this machine lacks says nothing of the member.
func (p *Pool) notReached(m *member, err error) {
	if !resources.Exhausted(err) {
		m.missedAt(instant.Now())
	}
	switch now := instant.Now(); {
	case p.gone(m, now):
		p.background(func() { p.endSeeking(m) })
	case m.lost.Load() == 0 && !resources.Exhausted(err):
		p.background(func() {
			if f := m.host.Missed(now); f.Rule != "" {
				p.eject(m, f)
			}
		})
	}
}

// missedAt notes that a connection to the member, of a request or of the plugin, has failed
// at the instant.
func (m *member) missedAt(now int64) {
	for before := m.gone.Load(); before < now && !m.gone.CompareAndSwap(before, now); before = m.gone.Load() {
	}
}

// reached notes that a connection to the member has succeeded.
func (p *Pool) reached(m *member) {
	if p.takeSeeking(m) == nil {
		return
	}
	defer m.host.Seek(-1) // until then the ejection does not end by itself
	now := instant.Now()
	if p.options.hold != nil && m.gone.Load() > m.reached.Load() { // else it was there all the time
		p.comeBack(m)
	}
	m.reached.Store(now)
	if m.host.Reached(now) {
		p.log().Info("upstream can be connected to again", zap.String("upstream", m.address))
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

// seeksAny reports whether the plugin connects to one of the members.
func (p *Pool) seeksAny(ms *membership) bool {
	p.seeking.Lock()
	defer p.seeking.Unlock()
	return slices.ContainsFunc(ms.members, func(m *member) bool { return m.seeking != nil })
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
