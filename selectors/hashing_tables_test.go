package selectors

import (
	"runtime"
	"slices"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/balance"
	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
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
		config = pooltest.With(config, pooltest.With(pooltest.Checked, object{"hash_by": "host"}))
		h := at(t, config, pooltest.Dial(0), pooltest.Dial(1), pooltest.Dial(2), pooltest.Dial(3))
		before := inUse()
		same := func(what string) {
			t.Helper()
			for table := range inUse() {
				if !before[table] {
					t.Errorf("%s: a new table", what)
				}
			}
		}
		again := at(t, config, pooltest.Dial(3), pooltest.Dial(1), pooltest.Dial(2), pooltest.Dial(0))
		same("another order")
		ports := at(t, config, pooltest.Host(0)+":81", pooltest.Host(1)+":82", pooltest.Host(2)+":83", pooltest.Host(3)+":84")
		same("other ports of the same hosts")
		pooltest.SetDown(pooltest.Dial(1))
		same("one down")
		pooltest.SetDown(pooltest.Dial(0), pooltest.Dial(1), pooltest.Dial(2), pooltest.Dial(3))
		same("all down")
		pooltest.SetDown()
		same("all up")
		for _, h := range []*reverseproxy.Handler{h, again, ports} {
			if pooltest.Pick(h, h.Upstreams, of("a")) == pooltest.None {
				t.Error("nothing picked")
			}
		}
	})
}
