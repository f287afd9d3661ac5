package outlier

import (
	"iter"
	"sync"

	"github.com/caddy-evenkeel/evenkeel/internal/balance"
)

// Detector ejects upstreams of one pool, within what its rules allow. It counts the
// pool's upstreams at each recount, and keeps the counts up to date in between, so
// that an ejection does not look at all upstreams.
type Detector struct {
	rules  *Rules
	random func() float64 // from 0 to 1

	mu    sync.Mutex // held for an ejection; guards round, groups and members
	round uint64     // number of the latest recount
}

// NewDetector returns the detector of a pool. Random draws from 0 to 1.
func NewDetector(r *Rules, random func() float64) *Detector {
	return &Detector{rules: r, random: random}
}

// Group counts upstreams that are picked from together and have weight. The
// detector's mu guards it.
type Group struct {
	all     int
	serving int // may be picked, are not on probation and do not fail every attempt
	limited int // are not serving, and max_ejection_percent holds for their ejection
}

// Member is an upstream as the groups of its pool count it. The detector's mu
// guards it.
type Member struct {
	Counted
	ejected uint64 // number of the recount before its latest ejection
}

// Counted is how an upstream counts in its groups.
type Counted struct{ Serving, Limited bool }

// Recount begins a recount. The states that are read for it need not show ejections
// from now on.
func (d *Detector) Recount() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.round++
}

// Count counts the group from the states that were read since [Recount]. A member that
// was ejected since then counts as its ejection has counted it.
func (d *Detector) Count(g *Group, seen iter.Seq2[*Member, Counted]) {
	d.mu.Lock()
	defer d.mu.Unlock()
	*g = Group{}
	for m, counted := range seen {
		if m.ejected != d.round {
			m.Counted = counted
		}
		g.all++
		g.add(m.Counted, 1)
	}
}

func (g *Group) add(c Counted, n int) {
	if c.Serving {
		g.serving += n
	}
	if c.Limited {
		g.limited += n
	}
}

// Eject ejects the member of the group, if that is allowed: never the last upstream
// that serves, and, if the finding is limited, no more than max_ejection_percent.
// Changed is whether [Host.Changed] has to be called.
func (d *Detector) Eject(h *Host, g *Group, m *Member, f Finding, now int64) (e Ejection, ok, changed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	others := *g
	others.add(m.Counted, -1)
	if others.serving == 0 && !f.Limited && h.KeepLast(f) {
		changed = true // ejected upstreams are now preferred to this one
	}
	most := max(1, int(d.rules.Percent*float64(others.all)/100))
	if others.serving == 0 || f.Limited && others.limited >= most {
		return e, false, changed
	}
	if e, ok = h.Eject(now, f, d.random()); !ok {
		return e, false, changed // another pool has ejected it
	}
	m.Counted, m.ejected = Counted{Limited: f.Limited}, d.round
	others.add(m.Counted, 1)
	*g = others
	return e, true, true
}

// roundingError is more than equal rates differ by in floating point.
const roundingError = 1e-9

// Outliers applies the rules on rates to the hosts, by the interval before that of
// the instant. It yields the index of each host that is to be ejected. Hosts may be
// nil.
func (r *Rules) Outliers(hosts []*Host, now int64) iter.Seq2[int, Finding] {
	return func(yield func(int, Finding) bool) {
		var indices []int
		var failures, rates []float64 // of failure, in percent; of success, from 0 to 1
		for i, h := range hosts {
			if h == nil {
				continue
			}
			if total, failed := h.counted(now/int64(r.Interval) - 1); total >= r.Volume {
				indices = append(indices, i)
				failures = append(failures, float64(failed)*100/float64(total))
				rates = append(rates, float64(total-failed)/float64(total))
			}
		}
		if len(indices) < r.Hosts {
			return
		}
		floor := balance.SuccessRateFloor(rates, r.Deviations)
		for n, i := range indices {
			f := Finding{Limited: true}
			switch {
			case r.Percentage > 0 && failures[n] >= r.Percentage:
				f.Rule = ByPercentage
			case r.Deviations > 0 && rates[n] < floor-roundingError:
				f.Rule = BySuccessRate
			default:
				continue
			}
			if !yield(i, f) {
				return
			}
		}
	}
}
