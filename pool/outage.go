package pool

import (
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
)

// outage is since when a membership has no upstream that may be picked.
type outage struct {
	paused atomic.Bool // since the pool is paused, as of the latest build

	lost atomic.Int64 // when it lost its last upstream; 0 while it has one
	over atomic.Int64 // when the latest outage ended; 0 for never
	back atomic.Int64 // when one was last back, though none has answered since; 0 for never
}

// forgiven is for how long an upstream must have been back, though none has answered,
// for the next loss to begin a new outage.
const forgiven = 10 * time.Second

// noteOutage notes whether the snapshot that follows the one before, which may be nil,
// has an upstream left.
func (p *Pool) noteOutage(ms *membership, before, next *Snapshot, now int64) {
	if p.options.hold == nil {
		return
	}
	switch o := &ms.history.outage; {
	case next.down:
		p.lose(ms, now)
	case (before == nil || before.down) && o.lost.Load() != 0:
		o.back.Store(now)
	case o.lost.Load() != 0 && o.back.Load() == 0 && p.queue.Held() == 0 && !p.seeksAny(ms):
		// The requests that could not connect have gone, and nobody looks any more.
		p.forgetOutage(ms)
	}
}

// forgetOutage ends the outage of the membership without a word. It reports whether there
// was one.
func (p *Pool) forgetOutage(ms *membership) bool {
	lost := &ms.history.outage.lost
	if lost.Load() == 0 || lost.Swap(0) == 0 {
		return false
	}
	if ms.upstreams == nil {
		p.memory.outages.Add(-1)
	}
	return true
}

// lose notes that the membership has no upstream left, and returns since when. It logs the
// beginning of an outage.
func (p *Pool) lose(ms *membership, now int64) (since int64) {
	o := &ms.history.outage
	since = o.lost.Load()
	if back := o.back.Load(); since != 0 && !(back > since && now-back >= int64(forgiven)) {
		o.back.CompareAndSwap(back, 0) // the outage goes on
		return since
	}
	if !o.lost.CompareAndSwap(since, now) {
		return o.lost.Load() // another request was faster
	}
	if since == 0 && ms.upstreams == nil {
		p.memory.outages.Add(1)
	}
	p.logOutage(ms, now)
	return now
}

// logOutage logs that an outage begins, and why each upstream is out.
func (p *Pool) logOutage(ms *membership, now int64) {
	why := "all upstreams are down: requests wait"
	if p.paused() != nil {
		why = "the pool is paused: requests wait"
	}
	Events.Publish(Event{Time: time.Now(), Kind: OutageChanged, Pool: p.Name(), To: "down", Reason: why})
	if !p.outageLog.Allow(now) {
		return
	}
	var reasons []string
	for _, m := range ms.members[:min(len(ms.members), maxReasons)] {
		s := p.stateOf(m, now)
		status := m.status(&s, now)
		if status.takes() { // it is not ejected yet, but the request could not connect
			status.Detail = "unreachable: " + m.lastFailure()
		}
		reasons = append(reasons, m.address+": "+status.Detail)
	}
	p.log().Warn(why, zap.String("policy", p.policy), zap.Duration("hold", p.holdTime()), zap.Strings("upstreams", reasons))
}

// answered notes that the member has answered: its outages are over.
func (p *Pool) answered(m *member) {
	if _, ok := p.static.index[m.address]; ok {
		p.endOutage(p.static, backAgain, zap.String("upstream", m.address))
	}
	if p.memory == nil || p.memory.outages.Load() == 0 {
		return
	}
	for _, ms := range p.dynamic.all() {
		if _, ok := ms.index[m.address]; ok {
			p.endOutage(ms, backAgain, zap.String("upstream", m.address))
		}
	}
}

const backAgain = "an upstream is back: requests go on"

// endOutage ends the outage of the membership, if there is one, and logs why.
func (p *Pool) endOutage(ms *membership, why string, fields ...zap.Field) {
	if !p.forgetOutage(ms) {
		return
	}
	ms.history.outage.over.Store(instant.Now())
	Events.Publish(Event{Time: time.Now(), Kind: OutageChanged, Pool: p.Name(), From: "down", Reason: why})
	if !p.backLog.Allow(instant.Now()) {
		return
	}
	p.log().Info(why, append(fields, zap.String("policy", p.policy), zap.Int("waiting", p.queue.Held()))...)
}

// forgetOutages ends the outages of dynamic histories that are no longer kept.
func (m *memory) forgetOutages(histories []*history) {
	for _, h := range histories {
		if h.outage.lost.Swap(0) != 0 {
			m.outages.Add(-1)
		}
	}
}
