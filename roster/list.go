package roster

import (
	"slices"
	"strings"
	"time"

	"github.com/caddy-evenkeel/evenkeel/internal/orders"
)

// list is the members of a roster at a time. It does not change.
type list struct {
	entries []entry // those that drain come last
	serving int     // of entries, that do not drain
	index   map[string]int
}

// entry is a member of a roster.
type entry struct {
	address    string
	listed     bool          // the configuration has it
	configured *int          // weight, by configuration; nil where that gives none
	change     *orders.Order // by the API; nil for none
	effect     orders.Effect // of that
	draining   bool          // it is removed, and has requests in flight
}

// of returns the members; those that drain only if they are asked for, too.
func (l *list) of(draining bool) []entry {
	if l == nil {
		return nil
	}
	if draining {
		return l.entries
	}
	return l.entries[:l.serving]
}

// get returns the entry of the address; nil for none. A nil list has none.
func (l *list) get(address string) *entry {
	if l == nil {
		return nil
	}
	if i, ok := l.index[address]; ok {
		return &l.entries[i]
	}
	return nil
}

// drain is a member that is removed, and not gone yet.
type drain struct {
	order *orders.Order // that its pools obey
	after time.Time     // before when it does not go: an attempt may be about to begin
	until time.Time     // when it goes at the latest
	entry entry         // as it was
}

// build makes the list anew from the configuration and the changes. It reports whether
// the list is another one. r.mu is held.
func (r *Roster) build() (changed bool) {
	before := r.list.Load()
	changed = before == nil
	byAddress := make(map[string]*orders.Order)
	var added []*orders.Order // that are not configured; sorted
	listed := make(map[string]Member, len(r.configured))
	for _, m := range r.configured {
		listed[m.Dial] = m
	}
	for _, o := range r.store.List() {
		if o.Pool != r.name {
			continue
		}
		byAddress[o.Address] = o
		if _, is := listed[o.Address]; o.State == present && !is {
			added = append(added, o)
		}
	}
	next := &list{index: make(map[string]int)}
	for _, m := range r.configured {
		o := byAddress[m.Dial]
		if o == nil || o.State != removed {
			next.add(entry{address: m.Dial, listed: true, configured: m.Weight, change: o}, before)
		}
	}
	for _, o := range added {
		next.add(entry{address: o.Address, change: o}, before)
	}
	next.serving = len(next.entries)
	now := time.Now()
	if before == nil {
		for address, o := range byAddress {
			if _, is := next.index[address]; o.State == removed && !is {
				r.drain(entry{address: address, change: o}, o.Given, now)
			}
		}
	} else {
		for _, e := range before.entries[:before.serving] {
			if _, is := next.index[e.address]; !is {
				r.drain(e, now, now)
			}
		}
	}
	var left []entry
	for address, d := range r.draining {
		if _, is := next.index[address]; is {
			delete(r.draining, address) // it is back
			continue
		}
		e := d.entry
		m, is := listed[address]
		e.listed, e.configured, e.change, e.draining = is, m.Weight, byAddress[address], true
		e.effect.State, e.effect.StateBy = orders.Drain, d.order
		left = append(left, e)
	}
	slices.SortFunc(left, func(a, b entry) int { return strings.Compare(a.address, b.address) })
	for _, e := range left {
		next.index[e.address] = len(next.entries)
		next.entries = append(next.entries, e)
	}
	if !changed && slices.Equal(before.entries, next.entries) && before.serving == next.serving {
		return false
	}
	r.list.Store(next)
	r.arm()
	return true
}

// add adds a member that serves. Where nothing has changed of it, pools see the effect
// that they have seen before.
func (l *list) add(e entry, before *list) {
	if last := before.get(e.address); last != nil && last.change == e.change && !last.draining {
		e.effect = last.effect
	} else if e.change != nil && e.change.Weight != nil {
		by := *e.change
		by.Pool, by.State = "", ""
		if by.Reason == "" {
			by.Reason = "in roster '" + e.change.Pool + "'"
		}
		e.effect = orders.Effect{Weight: by.Weight, WeightBy: &by}
	}
	l.index[e.address] = len(l.entries)
	l.entries = append(l.entries, e)
}
