package selectors

import (
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/balance"
	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
	"github.com/caddy-evenkeel/evenkeel/pool"
)

func init() { caddy.RegisterModule(new(RingHash)) }

// RingHash is a policy that picks by the request's key, on a ring on which each
// upstream has many points: one that goes leaves only its own keys to others.
type RingHash struct {
	hashing

	// Number of points of an upstream of weight 1. Default: 160.
	RingSize int `json:"ring_size,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*RingHash) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  namespace + ".ring_hash",
		New: func() caddy.Module { return new(RingHash) },
	}
}

// Provision sets up the policy.
func (p *RingHash) Provision(ctx caddy.Context) error {
	if p.RingSize == 0 {
		p.RingSize = defaultRingSize
	}
	if p.RingSize < 1 || p.RingSize > maxRingSize {
		return fmt.Errorf("ring_size: %d is not between 1 and %d", p.RingSize, maxRingSize)
	}
	return p.provisionHashing(ctx, p)
}

const (
	defaultRingSize = 160
	maxRingSize     = 1 << 20
)

// Build implements [pool.Policy].
func (p *RingHash) Build(next *pool.Tier, before pool.Picker) pool.Picker {
	return p.build(p, next, before)
}

func (p *RingHash) kind() string { return fmt.Sprint("ring_hash ", p.RingSize) }

func (p *RingHash) table(members []balance.Member) table {
	return balance.NewRing(members, p.RingSize)
}

func init() { cfg.Options("ring_hash", "lb_policy", append(hashingOptions, "ring_size")...) }

// UnmarshalCaddyfile sets up the policy from Caddyfile tokens. Syntax:
//
//	lb_policy ring_hash <key> {
//		ring_size      <points>
//		balance_factor <percent>
//		hash_by        address|host
//		salt           <text>
//		fallback       <policy> [<args...>]
//		# options that every policy has
//	}
func (p *RingHash) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return p.unmarshal(d, "ring_hash", func() (known bool, err error) {
		if d.Val() != "ring_size" {
			return false, nil
		}
		p.RingSize, err = cfg.Int(d, 1, maxRingSize)
		return true, err
	})
}

// Interface guards
var (
	_ reverseproxy.Selector = (*RingHash)(nil)
	_ pool.Policy           = (*RingHash)(nil)
	_ caddy.Provisioner     = (*RingHash)(nil)
	_ caddy.CleanerUpper    = (*RingHash)(nil)
	_ caddyfile.Unmarshaler = (*RingHash)(nil)
)
