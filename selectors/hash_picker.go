package selectors

import (
	"math"

	"github.com/caddy-evenkeel/evenkeel/internal/balance"
	"github.com/caddy-evenkeel/evenkeel/pool"
)

// hashPicker leads keys to the candidates of a tier. The table has all upstreams of
// the level and is the same whichever of them are up.
type hashPicker struct {
	policy   *hashing
	fallback pool.Picker // for requests without a key
	level    *pool.Level // the tier's
	members  *hashMembers
	at       []int32 // index of the candidate that each member is; below zero if it is none
	partial  bool    // a candidate takes only part of its keys
}

// build builds the picker of a tier. The table is taken over from the tier before
// where that was of the same level.
func (p *hashing) build(policy tabler, next *pool.Tier, before pool.Picker) pool.Picker {
	if p.BalanceFactor > 0 {
		p.traffic.fit(len(next.Level.Addresses))
	}
	picker := &hashPicker{policy: p, level: next.Level}
	if last, ok := before.(*hashPicker); ok {
		picker.fallback = p.fallback.build(next, last.fallback)
		if last.level == next.Level {
			picker.members = last.members
		}
	} else {
		picker.fallback = p.fallback.build(next, nil)
	}
	if picker.members == nil {
		picker.members = p.membersOf(policy, next.Level)
	}
	candidates := make([]int32, len(next.Level.Addresses)) // by index in the level
	for i := range candidates {
		candidates[i] = pool.None
	}
	for i, c := range next.Candidates {
		candidates[c.LevelIndex] = int32(i)
		picker.partial = picker.partial || c.Ramp < 1
	}
	picker.at = make([]int32, len(candidates))
	for member, index := range picker.members.order {
		picker.at[member] = candidates[index]
	}
	return picker
}

// Pick implements [pool.Picker].
func (p *hashPicker) Pick(q *pool.Query) int {
	k := p.policy.keyOf(q.Request)
	if k.empty {
		return p.fallback.Pick(q)
	}
	if k.share*float64(len(q.Candidates)) > heavyShare {
		return p.spread(q, k.hash, max(p.policy.BalanceFactor/sensible, 1))
	}
	return p.find(q, k.hash)
}

// rehashes is how often a key is hashed before all candidates are asked: enough
// for all but one in a million keys where three of four upstreams are down.
const rehashes = 48

// find returns the candidate that the key leads to.
func (p *hashPicker) find(q *pool.Query, key uint64) int {
	for n := range rehashes {
		if i := p.step(q, balance.Rehash(key, n)); i >= 0 && q.OK(i) {
			return i
		}
	}
	best, most := pool.None, uint64(0)
	for member, i := range p.at {
		if i < 0 {
			continue
		}
		if score := balance.Rehash(key^p.members.ids[member], 1); (best < 0 || score > most) && q.OK(int(i)) {
			best, most = int(i), score
		}
	}
	return best
}

// spread returns the first candidate that a heavy key leads to with no more than
// so many times its fair share of the requests in flight; where there is none, the
// one with the least part of its own.
func (p *hashPicker) spread(q *pool.Query, key uint64, most float64) int {
	best, least := pool.None, math.Inf(1)
	for n := range rehashes {
		i := p.step(q, balance.Rehash(key, n))
		if i < 0 || !q.OK(i) {
			continue
		}
		used := q.UsedShare(i)
		if used <= most {
			return i
		}
		if used < least {
			best, least = i, used
		}
	}
	if best < 0 {
		return p.find(q, key)
	}
	return best
}

// step returns the candidate that the key, rehashed or not, leads to; [pool.None] if
// it leads to none, or to one in a slow start that does not take it.
func (p *hashPicker) step(q *pool.Query, key uint64) int {
	member := p.members.table().At(key)
	i := int(p.at[member])
	if i < 0 {
		return pool.None
	}
	if p.partial {
		if ramp := q.Candidates[i].Ramp; ramp < 1 && !balance.Accepts(key, p.members.ids[member], ramp) {
			return pool.None
		}
	}
	return i
}
