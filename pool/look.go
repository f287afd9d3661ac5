package pool

import (
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/queue"
)

// look picks without waiting. If it picks none, found says why the request has to wait.
// A request that waits looks several times.
func (h *Handle) look(q *Query) (picked *reverseproxy.Upstream, found queue.Look) {
	q.look()
	if q.membership.upstreams == nil && !h.pool.dynamic.keeps(q.membership) {
		h.pool.findDynamic(slices.Clone(q.listed), q) // the membership is no longer rebuilt
	}
	s := q.membership.snapshot.Load()
	if q.only != nil {
		s = s.only(q.only)
	}
	if sessions := s.sessions.of(h); sessions != nil {
		picked, found = h.pickInSession(s, q, sessions)
	} else if ahead, wait := q.waits(h.pool, "", false); wait {
		return nil, ahead
	} else {
		var i int
		if i, found.Wait = h.pickAny(s, q); i >= 0 {
			picked = q.Upstreams[i]
		}
	}
	switch {
	case picked != nil:
		found.Address = picked.Dial
	case found.Wait == queue.NoReason && h.owner:
		found = h.pool.hold(s, q)
	}
	return picked, found
}

// hold says whether the request waits because all upstreams are down: no request may be
// picked for, or this one could connect to none, and no other is left. It waits until
// the option's time has passed since the membership lost its last upstream.
func (p *Pool) hold(s *Snapshot, q *Query) (found queue.Look) {
	if p.options.hold == nil || q.Request == nil {
		return found
	}
	var missed []*member
	if !s.down {
		if missed = p.missed(q); missed == nil {
			return found
		}
	}
	now := q.now()
	until := p.lose(q.membership, now) + int64(p.holdTime())
	if until <= now {
		return found
	}
	for _, m := range missed {
		p.seek(m)
		if _, failed := q.tried.FailedAt(); q.tried.NoConnection(m.address) {
			m.missedAt(failed)
		}
	}
	return queue.Look{Wait: queue.AllDown, Until: until}
}

// holdTime returns for how long after a loss requests wait; 0 for not at all.
func (p *Pool) holdTime() time.Duration {
	if p.options.hold == nil {
		return 0
	}
	return time.Duration(p.options.hold.Duration)
}

// missed returns the members that the request has tried, and that the plugin has not
// reached since; nil where there is nothing to wait for. One that it has reached is
// there: what the request got of it stands.
func (p *Pool) missed(q *Query) (missed []*member) {
	if !q.holds || !q.tried.Unsent() && q.tried.Failed() > 1 {
		return nil
	}
	_, failed := q.tried.FailedAt()
	q.tried.Tried(func(address string, _ bool) {
		i, ok := q.membership.index[address]
		if !ok {
			return
		}
		if m := q.membership.members[i]; p.seeks(m) && m.reached.Load() <= failed {
			missed = append(missed, m)
		}
	})
	return missed
}
