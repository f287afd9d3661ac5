package pool

import (
	"time"

	"go.uber.org/zap"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
	"github.com/caddy-evenkeel/evenkeel/outlier"
)

// judge reports an attempt on the member to outlier detection, and does what follows.
func (p *Pool) judge(m *member, r outlier.Report) {
	if m.host == nil {
		return
	}
	f := m.host.Observe(r, instant.Now())
	if f.Rule != "" {
		p.eject(m, f)
	}
	if f.Back {
		p.log().Info("upstream is back after its ejection", zap.String("upstream", m.address))
		p.emit("unejected", map[string]any{"upstream": m.address})
	}
	if f.Back || f.Steady {
		m.host.Changed()
	}
}

// eject ejects the member, if that is allowed.
func (p *Pool) eject(m *member, f outlier.Finding) {
	ms := p.membershipWith(m)
	if ms == nil {
		return
	}
	e, ejected, changed := p.detector.Eject(m.host, &ms.ejectable, &m.ejectable, f, instant.Now())
	if ejected {
		why := m.lastError()
		p.log().Warn("upstream is ejected",
			zap.String("upstream", m.address), zap.String("rule", e.Rule),
			zap.Duration("duration", e.Lasts), zap.String("ends", p.ejectionEnds(m, f)), zap.Int("in_a_row", e.InARow), zap.String("error", why))
		m.known.counters.ejected(e.Rule)
		p.emit("ejected", map[string]any{"upstream": m.address, "rule": e.Rule, "duration": e.Lasts, "in_a_row": e.InARow, "error": why})
		Events.Publish(Event{Time: time.Now(), Kind: UpstreamEject, Pool: p.Name(), Upstream: m.address, To: string(Ejected), Reason: e.Rule + ": " + why})
	}
	if changed {
		m.host.Changed()
	}
}

// ejectionEnds says when the ejection ends.
func (p *Pool) ejectionEnds(m *member, f outlier.Finding) string {
	switch {
	case f.Lost && p.seeks(m):
		return "when it can be connected to again"
	case f.Closed && p.seeks(m):
		return "after its duration, or when it can be connected to again"
	}
	return "after its duration"
}

// countEjectable has the detector count the members by their states.
func (p *Pool) countEjectable(ms *membership, states []state) {
	if p.detector == nil {
		return
	}
	p.detector.Count(&ms.ejectable, func(yield func(*outlier.Member, outlier.Counted) bool) {
		for i, m := range ms.members {
			s := &states[i]
			if m.weight.Load() == 0 {
				continue
			}
			counted := outlier.Counted{Serving: s.up() && s.phase == outlier.Serving && !s.failing, Limited: s.limited}
			if !yield(&m.ejectable, counted) {
				return
			}
		}
	})
}

// membershipsWith returns the memberships that the member is in.
func (p *Pool) membershipsWith(m *member) (all []*membership) {
	if _, ok := p.static.index[m.address]; ok {
		all = append(all, p.static)
	}
	for _, v := range p.dynamic.all() {
		if _, ok := v.index[m.address]; ok {
			all = append(all, v)
		}
	}
	return all
}

// membershipWith returns a membership that the member is in; nil for none.
func (p *Pool) membershipWith(m *member) (ms *membership) {
	if _, ok := p.static.index[m.address]; ok {
		return p.static
	}
	if ms := p.dynamic.latest.Load(); ms != nil && ms.has(m) {
		return ms
	}
	p.dynamic.memberships.Each(func(other *membership) bool {
		if other.has(m) {
			ms = other
		}
		return ms == nil
	})
	return ms
}

func (ms *membership) has(m *member) bool {
	i, ok := ms.index[m.address]
	return ok && ms.members[i] == m
}

// nextInterval has the rules on rates applied when the interval of the instant ends.
func (p *Pool) nextInterval(now int64) {
	if r := p.options.rules; r != nil && r.ByRate() {
		p.intervals.Before((now/int64(r.Interval) + 1) * int64(r.Interval))
	}
}

// intervalEnded applies the rules on rates, in the background.
func (p *Pool) intervalEnded() {
	p.background(func() {
		now := instant.Now()
		p.judgeRates(p.static, now)
		for _, ms := range p.dynamic.all() {
			p.judgeRates(ms, now)
		}
		p.nextInterval(now)
	})
}

// judgeRates applies the rules on rates to the members, by the interval before that of
// the instant.
func (p *Pool) judgeRates(ms *membership, now int64) {
	hosts := make([]*outlier.Host, len(ms.members))
	for i, m := range ms.members {
		hosts[i] = m.host
	}
	for i, f := range p.options.rules.Outliers(hosts, now) {
		p.eject(ms.members[i], f)
	}
}
