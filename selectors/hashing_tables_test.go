package selectors

import (
	"runtime"
	"slices"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/balance"
)

// builder counts the tables that are made.
type builder struct {
	Maglev
	made int
}

func (b *builder) table(members []balance.Member) table {
	b.made++
	return b.Maglev.table(members)
}

// Equal members have one table, as long as somebody uses it.
func TestTablesAreShared(t *testing.T) {
	b := new(builder)
	members := []balance.Member{{ID: 7001, Weight: 1}, {ID: 7002, Weight: 2}}
	one := tables.get(b, members)
	if two := tables.get(b, slices.Clone(members)); two != one || b.made != 1 {
		t.Errorf("%d tables of the same members", b.made)
	}
	for _, other := range [][]balance.Member{
		{{ID: 7001, Weight: 1}, {ID: 7002, Weight: 3}},
		{{ID: 7001, Weight: 1}},
		{{ID: 7001, Weight: 1}, {ID: 7003, Weight: 2}},
	} {
		if tables.get(b, other) == one {
			t.Errorf("%v have the table of %v", other, members)
		}
	}
	b.TableSize = 103
	if other := tables.get(b, members); other == one {
		t.Error("another size has the same table")
	}
	if ring := tables.get(new(RingHash), members); ring == one {
		t.Error("another policy has the same table")
	}
	runtime.KeepAlive(one)
}

// inUse returns the tables that there are.
func inUse() map[*shared]bool {
	runtime.GC()
	tables.mu.Lock()
	defer tables.mu.Unlock()
	all := make(map[*shared]bool)
	for _, t := range tables.byPrint {
		if t := t.Value(); t != nil {
			all[t] = true
		}
	}
	return all
}

// A reload finds the tables of the same members made, in whatever order it lists
// them; a flap makes none.
func TestReloadAndFlapMakeNoTables(t *testing.T) {
	forKeys(t, func(t *testing.T, config object) {
		config = with(config, with(checked, object{"hash_by": "host"}))
		h := at(t, config, dial(0), dial(1), dial(2), dial(3))
		before := inUse()
		same := func(what string) {
			t.Helper()
			for table := range inUse() {
				if !before[table] {
					t.Errorf("%s: a new table", what)
				}
			}
		}
		again := at(t, config, dial(3), dial(1), dial(2), dial(0))
		same("another order")
		ports := at(t, config, host(0)+":81", host(1)+":82", host(2)+":83", host(3)+":84")
		same("other ports of the same hosts")
		setDown(dial(1))
		same("one down")
		setDown(dial(0), dial(1), dial(2), dial(3))
		same("all down")
		setDown()
		same("all up")
		for _, h := range []*reverseproxy.Handler{h, again, ports} {
			if pick(h, h.Upstreams, of("a")) == none {
				t.Error("nothing picked")
			}
		}
	})
}
