package selectors

import (
	"fmt"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-evenkeel/evenkeel/internal/balance"
	"github.com/caddy-evenkeel/evenkeel/pool"
	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

func init() { caddy.RegisterModule(new(lookup)) }

// lookup is a policy that has the table of another one, and keeps a copy of the query
// that it was asked, and its picker.
type lookup struct {
	hashing
	Table string `json:"table"`

	latest pool.Query
	picker *hashPicker
}

func (*lookup) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: namespace + ".lookup", New: func() caddy.Module { return new(lookup) }}
}

func (p *lookup) Provision(ctx caddy.Context) error { return p.provisionHashing(ctx, p) }

func (p *lookup) Build(next *pool.Tier, before pool.Picker) pool.Picker {
	p.picker = p.build(p, next, before).(*hashPicker)
	return p
}

func (p *lookup) Pick(q *pool.Query) int {
	p.latest = *q
	return 0
}

func (p *lookup) kind() string { return p.Table }

func (p *lookup) table(members []balance.Member) table {
	switch p.Table {
	case "maglev":
		return new(Maglev).table(members)
	case "ring_hash":
		return (&RingHash{RingSize: defaultRingSize}).table(members)
	}
	return new(Rendezvous).table(members)
}

// BenchmarkLookup finds a candidate that may be picked for a key that is computed,
// a new one each time. BenchmarkHash has what it costs to get there.
func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{4, 16, 128, 1024, 10_000} {
		for _, policy := range byUser {
			b.Run(fmt.Sprintf("upstreams=%d/policy=%s", n, policy["policy"]), func(b *testing.B) {
				h := pooltest.NewHandler(b, pooltest.With(policy, object{"policy": "lookup", "table": policy["policy"]}), n)
				pooltest.Pick(h, h.Upstreams, pooltest.NewRequest())
				policy := h.LoadBalancing.SelectionPolicy.(*lookup)
				key := uint64(0)
				b.ReportAllocs()
				for b.Loop() {
					key++
					if policy.picker.find(&policy.latest, balance.Rehash(key, 1)) < 0 {
						b.Fatal("no upstream")
					}
				}
			})
		}
	}
}
