package selectors

import (
	"fmt"
	"math"
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/balance"
	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
	"github.com/caddy-evenkeel/evenkeel/pool"
)

func init() { caddy.RegisterModule(new(LeastRequest)) }

// LeastRequest is a policy that draws some candidates at random and picks the
// one with the fewest requests in flight for its weight: the least
// (active+1)^bias/weight. Where all of them are idle, and where the least is that
// of several, shares follow the weights.
type LeastRequest struct {
	common

	// How many candidates to draw. Two are enough to be far better than one,
	// and avoid that all proxies run for the same idle upstream. Default: 2.
	Choices int `json:"choices,omitempty"`

	// Look at all candidates instead. Costs time in proportion to the pool.
	// Default: false.
	All bool `json:"all,omitempty"`

	// How much requests in flight count against weight: 0 not at all, above 1
	// more than in proportion. Default: 1.
	Bias *float64 `json:"bias,omitempty"`

	bias float64
}

const (
	maxChoices = 1000
	maxBias    = 100
)

// CaddyModule returns the Caddy module information.
func (*LeastRequest) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  namespace + ".least_request",
		New: func() caddy.Module { return new(LeastRequest) },
	}
}

// Provision sets up the policy.
func (p *LeastRequest) Provision(ctx caddy.Context) error {
	p.bias = 1
	if p.Bias != nil {
		p.bias = *p.Bias
	}
	if !(p.bias >= 0 && p.bias <= maxBias) {
		return fmt.Errorf("bias: %v is not between 0 and %d", p.bias, maxBias)
	}
	switch {
	case p.All && p.Choices != 0:
		return fmt.Errorf("choices: %d and all exclude each other", p.Choices)
	case p.All:
		p.Choices = math.MaxInt
	case p.Choices == 0:
		p.Choices = 2
	case p.Choices < 1 || p.Choices > maxChoices:
		return fmt.Errorf("choices: %d is not between 1 and %d", p.Choices, maxChoices)
	}
	return p.provision(ctx, p, pool.Features{})
}

// Build implements [pool.Policy].
func (p *LeastRequest) Build(next *pool.Tier, _ pool.Picker) pool.Picker {
	return &leastRequestPicker{newSampler(next, p.Choices), p.bias}
}

// leastRequestPicker picks the candidate of a sample with the fewest requests in
// flight for its weight.
type leastRequestPicker struct {
	sampler
	bias float64
}

// Pick implements [pool.Picker].
func (p *leastRequestPicker) Pick(q *pool.Query) int {
	sample := p.draw(q)
	first := sample.first
	if !q.OK(first) {
		first = p.redraw(q, &sample)
	}
	best, least, idle := first, math.Inf(1), true
	if first >= 0 {
		active := q.Active(first)
		least, idle = balance.RequestCost(active, q.Candidates[first].Weight, p.bias), active == 0
	}
	for i := range sample.others {
		active := q.Active(i)
		cost := balance.RequestCost(active, q.Candidates[i].Weight, p.bias)
		if (cost < least || idle && active > 0) && q.OK(i) {
			idle = idle && active == 0
			if cost < least {
				best, least = i, cost
			}
		}
	}
	if idle && first >= 0 {
		return first
	}
	return sample.pick(q, best)
}

func init() { cfg.Options("least_request", "lb_policy", "bias") }

// UnmarshalCaddyfile sets up the policy from Caddyfile tokens. Syntax:
//
//	lb_policy least_request [<choices>|all] {
//		bias <number>
//		# options that every policy has
//	}
func (p *LeastRequest) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the policy's name
	if d.NextArg() {
		if d.Val() == "all" {
			p.All = true
		} else {
			n, err := strconv.Atoi(d.Val())
			if err != nil || n < 1 || n > maxChoices {
				return d.Errf("least_request: '%s' is neither all nor between 1 and %d", d.Val(), maxChoices)
			}
			p.Choices = n
		}
		if d.NextArg() {
			return d.Errf("least_request: unexpected argument '%s'", d.Val())
		}
	}
	return p.unmarshalBlock(d, "least_request", func() (bool, error) {
		if d.Val() != "bias" {
			return false, nil
		}
		bias, err := cfg.Float(d, 0, maxBias)
		p.Bias = &bias
		return true, err
	})
}

// Interface guards
var (
	_ reverseproxy.Selector = (*LeastRequest)(nil)
	_ pool.Policy           = (*LeastRequest)(nil)
	_ caddy.Provisioner     = (*LeastRequest)(nil)
	_ caddy.CleanerUpper    = (*LeastRequest)(nil)
	_ caddyfile.Unmarshaler = (*LeastRequest)(nil)
)
