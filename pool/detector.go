package pool

import (
	"go.uber.org/zap"

	"github.com/caddy-evenkeel/evenkeel/internal/balance"
	"github.com/caddy-evenkeel/evenkeel/internal/instant"
)

// judge has the outcome of an attempt bear on whether its upstream is ejected.
func (p *Pool) judge(m *member, r report) {
	now := instant.Now()
	f := m.outlier.observe(r, now)
	if f.because != "" {
		p.eject(m, f.because, f.limited)
	}
	if f.back {
		p.logger.Info("upstream is back after its ejection", zap.String("upstream", m.address))
		p.emit("unejected", map[string]any{"upstream": m.address})
	}
	if f.back || f.steady {
		m.outlier.changed()
	}
}

// eject ejects the member, if that is allowed: never the last upstream that may
// be picked, and, where the rule is one of those, not more than a share of all.
func (p *Pool) eject(m *member, because string, limited bool) {
	v := p.viewWith(m)
	if v == nil {
		return
	}
	p.ejecting.Lock()
	defer p.ejecting.Unlock()
	c := v.ejectable
	if m.counted.serving {
		c.serving--
	}
	if m.counted.held {
		c.held--
	}
	if c.serving == 0 && !limited && m.outlier.last() {
		m.outlier.changed() // the ejected are better than one that fails every attempt
	}
	most := max(1, int(p.options.rules.Percent*float64(c.all)/100))
	if c.serving == 0 || limited && c.held >= most {
		return
	}
	times, lasts := m.outlier.eject(instant.Now(), because, limited, p.random())
	if times == 0 {
		return // another handler was faster
	}
	if m.counted = (counted{held: limited}); limited {
		c.held++
	}
	v.ejectable = c
	m.ejectedIn = p.round
	p.logger.Warn("upstream is ejected",
		zap.String("upstream", m.address), zap.String("rule", because),
		zap.Duration("duration", lasts), zap.Int("in_a_row", times))
	m.place.countEjection(because)
	p.emit("ejected", map[string]any{"upstream": m.address, "rule": because, "duration": lasts, "in_a_row": times})
	m.outlier.changed()
}

// ejectable counts a view's upstreams that have weight: all of them, those that
// may be picked and are neither on probation nor failing, and those whose
// ejections have a share set. It is made with the snapshot, so that an ejection
// need not look at all upstreams, and kept up by the ejections in between.
type ejectable struct{ all, serving, held int }

// counted is how a member counts there.
type counted struct{ serving, held bool }

// count makes the view's counts, of its members as they stood a moment ago; those
// that were ejected since count as they were counted then.
func (p *Pool) count(v *view, stands []standing) {
	p.ejecting.Lock()
	defer p.ejecting.Unlock()
	v.ejectable = ejectable{}
	for i, m := range v.members {
		s := &stands[i]
		if m.weight == 0 {
			continue
		}
		if m.ejectedIn != p.round {
			m.counted = counted{serving: s.up() && s.phase == serving && !s.failing, held: s.held}
		}
		v.ejectable.all++
		if m.counted.serving {
			v.ejectable.serving++
		}
		if m.counted.held {
			v.ejectable.held++
		}
	}
}

// recount begins the counting anew: what is ejected from now on may not show in
// how the members stand.
func (p *Pool) recount() {
	p.ejecting.Lock()
	defer p.ejecting.Unlock()
	p.round++
}

// viewWith returns a view that the member is in.
func (p *Pool) viewWith(m *member) (v *view) {
	if _, ok := p.static.index[m.address]; ok {
		return p.static
	}
	if v := p.dynamic.latest.Load(); v != nil && v.has(m) {
		return v
	}
	p.dynamic.views.Each(func(other *view) bool {
		if other.has(m) {
			v = other
		}
		return v == nil
	})
	return v
}

func (v *view) has(m *member) bool {
	i, ok := v.index[m.address]
	return ok && v.members[i] == m
}

// nextInterval lets the rules on rates be applied at the end of the interval.
func (p *Pool) nextInterval(now int64) {
	if r := p.options.rules; r != nil && r.byShare() {
		p.intervals.Before((now/int64(r.Interval) + 1) * int64(r.Interval))
	}
}

// intervalEnded applies the rules on rates, in the background.
func (p *Pool) intervalEnded() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.builds.Go(func() {
		now := instant.Now()
		p.judgeShares(p.static, now)
		for _, v := range p.dynamic.all() {
			p.judgeShares(v, now)
		}
		p.nextInterval(now)
	})
}

// roundingError is more than rates that are equal may seem to differ by.
const roundingError = 1e-9

// judgeShares applies the rules on rates to the view's upstreams, as they were in
// the interval before the one of the given instant.
func (p *Pool) judgeShares(v *view, now int64) {
	r := p.options.rules
	var looked []*member
	var shares, rates []float64 // of failures, of successes
	for _, m := range v.members {
		if m.outlier == nil {
			continue
		}
		if total, failed := m.outlier.tallied(now/int64(r.Interval) - 1); total >= r.Volume {
			looked = append(looked, m)
			shares = append(shares, float64(failed)*100/float64(total))
			rates = append(rates, float64(total-failed)/float64(total))
		}
	}
	if len(looked) < r.Hosts {
		return
	}
	floor := balance.SuccessRateFloor(rates, r.Deviations)
	for i, m := range looked {
		switch {
		case r.Percentage > 0 && shares[i] >= r.Percentage:
			p.eject(m, byPercentage, true)
		case r.Deviations > 0 && rates[i] < floor-roundingError:
			p.eject(m, bySuccessRate, true)
		}
	}
}
