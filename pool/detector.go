package pool

import (
	"time"

	"go.uber.org/zap"

	"github.com/caddy-evenkeel/evenkeel/internal/balance"
)

// judge has the outcome of an attempt bear on whether its upstream is ejected.
func (p *Pool) judge(m *member, r report) {
	now := instant(time.Now())
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
	p.ejecting.Lock()
	defer p.ejecting.Unlock()
	now := instant(time.Now())
	left, held, all := p.others(m, now)
	most := max(1, int(p.options.rules.Percent*float64(all)/100))
	if left == 0 && !limited && m.outlier.last() {
		m.outlier.changed() // the ejected are better than one that fails every attempt
	}
	if left == 0 || limited && held >= most {
		return
	}
	times, lasts := m.outlier.eject(now, because, limited, p.random())
	if times == 0 {
		return // another handler was faster
	}
	p.logger.Warn("upstream is ejected",
		zap.String("upstream", m.address), zap.String("rule", because),
		zap.Duration("duration", lasts), zap.Int("in_a_row", times))
	metrics.ejections.WithLabelValues(m.address, because).Inc()
	p.emit("ejected", map[string]any{"upstream": m.address, "rule": because, "duration": lasts, "in_a_row": times})
	m.outlier.changed()
}

// others counts the upstreams of the member's view: those but for itself that
// may be picked and are not on probation, those but for itself whose ejections
// have a share set, and all that have weight.
func (p *Pool) others(m *member, now int64) (left, held, all int) {
	for _, o := range p.peers(m) {
		s := o.stand(p.options, now)
		if o.weight == 0 {
			continue
		}
		all++
		if o.address == m.address {
			continue
		}
		if s.up() && s.phase == serving && !s.failing {
			left++
		}
		if o.outlier.held(now) {
			held++
		}
	}
	return left, held, all
}

// peers returns the members of a view that the member is in.
func (p *Pool) peers(m *member) []*member {
	if _, ok := p.static.index[m.address]; ok {
		return p.static.members
	}
	if v := p.dynamic.latest.Load(); v != nil {
		if _, ok := v.index[m.address]; ok {
			return v.members
		}
	}
	for _, v := range p.dynamic.all() {
		if _, ok := v.index[m.address]; ok {
			return v.members
		}
	}
	return nil
}

// nextInterval lets the rules on shares be applied at the end of the interval.
func (p *Pool) nextInterval(now int64) {
	if r := p.options.rules; r != nil && r.byShare() {
		p.judged = now / int64(r.Interval)
		p.alarm.before((p.judged + 1) * int64(r.Interval))
	}
}

// roundingError is more than rates that are equal may seem to differ by.
const roundingError = 1e-9

// judgeShares applies the rules on shares to the interval that has ended, if
// one has. The mutex building is held.
func (p *Pool) judgeShares(now int64) {
	r := p.options.rules
	if r == nil || !r.byShare() || now/int64(r.Interval) == p.judged {
		return
	}
	p.nextInterval(now)
	members := p.static.members
	if v := p.dynamic.latest.Load(); v != nil {
		members = v.members
	}
	var looked []*member
	var shares, rates []float64 // of failures, of successes
	for _, m := range members {
		if m.outlier == nil {
			continue
		}
		if total, failed := m.outlier.tallied(p.judged - 1); total >= r.Volume {
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
