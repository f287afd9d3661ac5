package selectors

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-evenkeel/evenkeel/internal/balance"
	"github.com/caddy-evenkeel/evenkeel/pool"
)

// hashMembers are the upstreams of a level as members of a hash table.
type hashMembers struct {
	order []int    // index in the level of each member
	ids   []uint64 // of the members

	built    atomic.Pointer[shared] // the table; nil before the first key, and once it was given up
	building sync.Mutex
	build    func() *shared
}

// table returns the table, which is built where there is none.
func (m *hashMembers) table() table {
	if t := m.built.Load(); t != nil {
		return t
	}
	m.building.Lock()
	defer m.building.Unlock()
	t := m.built.Load()
	if t == nil {
		t = m.build()
		m.built.Store(t)
	}
	return t
}

// membersOf returns a level's upstreams, ordered by what identifies them so that
// equal levels share a table.
func (p *hashing) membersOf(policy tabler, level *pool.Level) *hashMembers {
	ids := identify(level.Addresses, p.HashBy == byHost)
	m := &hashMembers{order: make([]int, len(ids))}
	for i := range ids {
		m.order[i] = i
	}
	slices.SortFunc(m.order, func(a, b int) int { return cmp.Compare(ids[a], ids[b]) })
	members := make([]balance.Member, len(ids))
	for member, index := range m.order {
		members[member] = balance.Member{ID: ids[index], Weight: level.Weights[index]}
		m.ids = append(m.ids, ids[index])
	}
	m.build = func() *shared { return tables.get(policy, members) }
	if p.dynamic { // of many lists, few may ever be asked for again
		m.build = func() *shared {
			p.recent.add(m)
			return tables.get(policy, members)
		}
	} else {
		m.table()
	}
	return m
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
