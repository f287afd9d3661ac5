package selectors

import (
	"cmp"
	"fmt"
	"math"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-evenkeel/evenkeel/internal/balance"
	"github.com/caddy-evenkeel/evenkeel/pool"
)

// places leads keys to the candidates of a tier. The table has all upstreams of
// the level and is the same whoever is up.
type places struct {
	seats   *seats
	at      []int32 // the candidate at each place of the table; below zero if its upstream is none
	partial bool    // a candidate takes only part of its keys
}

// seats are the upstreams of a level as a table has them.
type seats struct {
	order []int    // their seats in the level, by their places in the table
	ids   []uint64 // likewise

	made   atomic.Pointer[shared] // the table; nil before the first key, and once it was given up
	making sync.Mutex
	make   func() *shared
}

// table returns the table, which is made where there is none.
func (s *seats) table() table {
	if t := s.made.Load(); t != nil {
		return t
	}
	s.making.Lock()
	defer s.making.Unlock()
	t := s.made.Load()
	if t == nil {
		t = s.make()
		s.made.Store(t)
	}
	return t
}

// Build makes the places of a tier; the table is taken over from the tier before
// where that was of the same level.
func (p *hashing) build(picker tabler, next, before *pool.Tier, made any) any {
	if p.BalanceFactor > 0 {
		p.traffic.fit(len(next.Level.Addresses))
	}
	last, _ := made.(*places)
	here := &places{}
	if last != nil && before.Level == next.Level {
		here.seats = last.seats
	} else {
		here.seats = p.seat(picker, next.Level)
	}
	candidates := make([]int32, len(next.Level.Addresses))
	for i := range candidates {
		candidates[i] = -1
	}
	for i, c := range next.Candidates {
		candidates[c.Seat] = int32(i)
		here.partial = here.partial || c.Share < 1
	}
	here.at = make([]int32, len(candidates))
	for place, seat := range here.seats.order {
		here.at[place] = candidates[seat]
	}
	return here
}

// seat makes the table of a level's upstreams, ordered by what identifies them so
// that equal levels share one.
func (p *hashing) seat(picker tabler, level *pool.Level) *seats {
	ids := identify(level.Addresses, p.HashBy == byHost)
	s := &seats{order: make([]int, len(ids))}
	for i := range ids {
		s.order[i] = i
	}
	slices.SortFunc(s.order, func(a, b int) int { return cmp.Compare(ids[a], ids[b]) })
	members := make([]balance.Member, len(ids))
	for place, seat := range s.order {
		members[place] = balance.Member{ID: ids[seat], Weight: level.Weights[seat]}
		s.ids = append(s.ids, ids[seat])
	}
	s.make = func() *shared { return tables.get(picker, members) }
	if p.dynamic { // of many lists, few may ever be asked for again
		s.make = func() *shared {
			p.recent.add(s)
			return tables.get(picker, members)
		}
	} else {
		s.table()
	}
	return s
}

// identify returns a number for each address: of the address itself, or of its
// host and how many of the same host come before it, in the order of their ports.
func identify(addresses []string, byHost bool) []uint64 {
	ids := make([]uint64, len(addresses))
	hosts := make(map[string][]int)
	for i, address := range addresses {
		ids[i] = xxhash.Sum64String(address)
		if !byHost {
			continue
		}
		network, host, _, err := caddy.SplitNetworkAddress(address)
		if err == nil && host != "" && !caddy.IsUnixNetwork(network) && !caddy.IsFdNetwork(network) {
			hosts[host] = append(hosts[host], i)
		}
	}
	for host, those := range hosts {
		slices.SortStableFunc(those, func(a, b int) int {
			x, y := addresses[a], addresses[b]
			return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y))
		})
		for n, i := range those {
			ids[i] = xxhash.Sum64String(net.JoinHostPort(host, fmt.Sprint("#", n)))
		}
	}
	return ids
}

// rehashes is how often a key is led on before all candidates are asked: enough
// for all but one in a million keys where three of four upstreams are down.
const rehashes = 48

// pick returns the candidate that the key leads to.
func (p *places) pick(q *pool.Query, key uint64) int {
	for attempt := range rehashes {
		if i := p.led(q, balance.Rehash(key, attempt)); i >= 0 && q.OK(i) {
			return i
		}
	}
	best, most := pool.None, uint64(0)
	for place, i := range p.at {
		if i < 0 {
			continue
		}
		if score := balance.Rehash(key^p.seats.ids[place], 1); (best < 0 || score > most) && q.OK(int(i)) {
			best, most = int(i), score
		}
	}
	return best
}

// spread returns the first candidate that a heavy key leads to with no more than
// so many times its share of the requests in flight; where there is none, the one
// with the least of its share.
func (p *places) spread(q *pool.Query, key uint64, most float64) int {
	best, least := pool.None, math.Inf(1)
	for attempt := range rehashes {
		i := p.led(q, balance.Rehash(key, attempt))
		if i < 0 || !q.OK(i) {
			continue
		}
		fill := q.Fill(i)
		if fill <= most {
			return i
		}
		if fill < least {
			best, least = i, fill
		}
	}
	if best < 0 {
		return p.pick(q, key)
	}
	return best
}

// led returns the candidate that the key of one attempt leads to; below zero if it
// leads to none, or to one in a slow start that does not take it.
func (p *places) led(q *pool.Query, key uint64) int {
	place := p.seats.table().At(key)
	i := int(p.at[place])
	if i < 0 {
		return pool.None
	}
	if p.partial {
		if share := q.Candidates[i].Share; share < 1 && !balance.Accepts(key, p.seats.ids[place], share) {
			return pool.None
		}
	}
	return i
}
