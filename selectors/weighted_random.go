package selectors

import (
	"math/rand/v2"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/balance"
	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
	"github.com/caddy-evenkeel/evenkeel/pool"
)

func init() { caddy.RegisterModule(new(WeightedRandom)) }

// WeightedRandom is a policy that picks at random, in proportion to weights.
type WeightedRandom struct{ common }

// CaddyModule returns the Caddy module information.
func (*WeightedRandom) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  namespace + ".weighted_random",
		New: func() caddy.Module { return new(WeightedRandom) },
	}
}

// Provision sets up the policy.
func (p *WeightedRandom) Provision(ctx caddy.Context) error {
	return p.provision(ctx, p, pool.Features{})
}

// Build implements [pool.Policy].
func (*WeightedRandom) Build(next *pool.Tier, _ pool.Picker) pool.Picker {
	return &weightedRandomPicker{balance.NewAlias(weights(next))}
}

// weightedRandomPicker draws candidates by their weights.
type weightedRandomPicker struct{ table *balance.Alias }

// Pick implements [pool.Picker].
func (p *weightedRandomPicker) Pick(q *pool.Query) int {
	i := 0
	for range maxDraws {
		i = p.table.Pick(rand.Uint64())
		if q.OK(i) {
			return i
		}
	}
	return q.Any(i)
}

// weights returns those of the tier's candidates.
func weights(t *pool.Tier) []uint32 {
	weights := make([]uint32, len(t.Candidates))
	for i, c := range t.Candidates {
		weights[i] = c.Weight
	}
	return weights
}

func init() { cfg.Options("weighted_random", "lb_policy") }

// UnmarshalCaddyfile sets up the policy from Caddyfile tokens. Syntax:
//
//	lb_policy weighted_random {
//		# options that every policy has
//	}
func (p *WeightedRandom) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the policy's name
	if err := cfg.NoArgs(d); err != nil {
		return err
	}
	return p.unmarshalBlock(d, "weighted_random", nil)
}

// Interface guards
var (
	_ reverseproxy.Selector = (*WeightedRandom)(nil)
	_ pool.Policy           = (*WeightedRandom)(nil)
	_ caddy.Provisioner     = (*WeightedRandom)(nil)
	_ caddy.CleanerUpper    = (*WeightedRandom)(nil)
	_ caddyfile.Unmarshaler = (*WeightedRandom)(nil)
)
