package selectors

import (
	"encoding/binary"
	"maps"
	"sync"
	"weak"

	"github.com/cespare/xxhash/v2"

	"github.com/caddy-evenkeel/evenkeel/internal/balance"
)

// tables are those in use, which configurations with the same upstreams share.
var tables = cache{byPrint: make(map[print]weak.Pointer[shared])}

type cache struct {
	mu      sync.Mutex
	byPrint map[print]weak.Pointer[shared]
	enough  int // entries at which to look for those out of use
}

// print tells tables apart.
type print struct {
	kind string
	a, b uint64 // of the members
}

// shared is a table that others may use, too.
type shared struct{ table }

// get returns the policy's table of the members.
func (c *cache) get(policy tabler, members []balance.Member) *shared {
	key := print{kind: policy.kind()}
	first, second := xxhash.NewWithSeed(1), xxhash.NewWithSeed(2)
	var buffer []byte
	for _, m := range members {
		buffer = binary.LittleEndian.AppendUint64(buffer[:0], m.ID)
		buffer = binary.LittleEndian.AppendUint32(buffer, m.Weight)
		first.Write(buffer)
		second.Write(buffer)
	}
	key.a, key.b = first.Sum64(), second.Sum64()

	if t := c.known(key); t != nil {
		return t
	}
	built := &shared{policy.table(members)} // some milliseconds, in which others may go on
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.byPrint[key].Value(); t != nil {
		return t
	}
	if len(c.byPrint) >= c.enough {
		maps.DeleteFunc(c.byPrint, func(_ print, t weak.Pointer[shared]) bool { return t.Value() == nil })
		c.enough = 2*len(c.byPrint) + 16
	}
	c.byPrint[key] = weak.Make(built)
	return built
}

func (c *cache) known(key print) *shared {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byPrint[key].Value()
}

// recent are the tables of lists that a dynamic source has returned, the latest to
// be built. A source that returns some of its members at random has a list for each
// selection, most of which are never asked for again.
type recent struct {
	mu    sync.Mutex // guards the below
	of    []*hashMembers
	units int
}

// A table counts one unit for each so many members: 65537 slots of maglev's, that
// is 128 kB. Of each policy so many units are kept: 16 MB.
const (
	unitMembers = 160
	maxUnits    = 128
)

func (m *hashMembers) units() int { return 1 + len(m.ids)/unitMembers }

// add makes room for the table of the members, which is about to be built: those
// built first are given up. A key that leads to one of them has it built again.
func (r *recent) add(m *hashMembers) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.of = append(r.of, m)
	r.units += m.units()
	for r.units > maxUnits && len(r.of) > 1 {
		first := r.of[0]
		r.units -= first.units()
		r.of[0] = nil
		r.of = r.of[1:]
		first.built.Store(nil)
	}
}
