package selectors

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/caddy-evenkeel/evenkeel/internal/balance"
)

// subset returns some of a hundred members, as a name server does that has more
// addresses than fit its answer.
func subset(chance *rand.Rand, n int) []balance.Member {
	members := make([]balance.Member, n)
	for i, id := range chance.Perm(100)[:n] {
		members[i] = balance.Member{ID: balance.Rehash(uint64(id), 1), Weight: 1}
	}
	return members
}

// tableBytes returns what the picker's tables of so many subsets take.
func tableBytes(p *Maglev, views, members int) float64 {
	chance := rand.New(rand.NewPCG(1, 2))
	held := make([]table, views)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range held {
		held[i] = tables.get(p, subset(chance, members))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(held)
	return float64(after.HeapAlloc) - float64(before.HeapAlloc)
}

// A dynamic source that returns another few of its members each time has a
// thousand tables cost little.
func TestTablesOfManySubsetsAreSmall(t *testing.T) {
	const views = 1000
	for members, limit := range map[int]float64{8: 3 << 20, 30: 10 << 20} {
		h := loadHandler(t, object{
			"load_balancing":    object{"selection_policy": object{"policy": "maglev", "key": "{http.request.uri}"}},
			"dynamic_upstreams": object{"source": "a", "name": "pool.test", "port": "80"},
		})
		if got := tableBytes(h.LoadBalancing.SelectionPolicy.(*Maglev), views, members); got > limit {
			t.Errorf("%d tables of %d members take %.1f MB", views, members, got/(1<<20))
		}
	}
}

// BenchmarkTablesOfSubsets makes a thousand tables, each of another eight of a
// hundred members: as of static upstreams, and as of dynamic ones.
func BenchmarkTablesOfSubsets(b *testing.B) {
	for _, dynamic := range []bool{false, true} {
		b.Run(fmt.Sprint("dynamic=", dynamic), func(b *testing.B) {
			p := new(Maglev)
			p.dynamic = dynamic
			var bytes float64
			for b.Loop() {
				bytes = tableBytes(p, 1000, 8)
			}
			b.ReportMetric(bytes/(1<<20), "MB")
		})
	}
}
