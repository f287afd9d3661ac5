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

func init() { caddy.RegisterModule(new(Maglev)) }

// Maglev is a policy that picks by the request's key, from a table in which each
// upstream has its share of the slots: a pick costs the same whatever the number
// of upstreams.
type Maglev struct {
	hashing

	// Number of slots, a prime number; at least as many as there are upstreams.
	// Default: 65537, or more where that is too few for the upstreams.
	TableSize int `json:"table_size,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*Maglev) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  namespace + ".maglev",
		New: func() caddy.Module { return new(Maglev) },
	}
}

// Provision sets up the policy.
func (p *Maglev) Provision(ctx caddy.Context) error {
	if err := p.validate(); err != nil {
		return err
	}
	if err := p.provisionHashing(ctx, p); err != nil {
		return err
	}
	if addresses, fixed := p.handle.Addresses(); fixed && p.TableSize > 0 && p.TableSize < len(addresses) {
		return fmt.Errorf("table_size: %d is less than the number of upstreams, %d", p.TableSize, len(addresses))
	}
	return nil
}

// The least and the most slots that a table may have.
const (
	minTableSize = 101
	maxTableSize = 1 << 26
)

func (p *Maglev) validate() error {
	switch n := p.TableSize; {
	case n == 0:
	case n < minTableSize || n > maxTableSize:
		return fmt.Errorf("table_size: %d is not between %d and %d", n, minTableSize, maxTableSize)
	case !balance.IsPrime(n):
		return fmt.Errorf("table_size: %d is not a prime number", n)
	}
	return nil
}

// Build implements [pool.Policy].
func (p *Maglev) Build(next *pool.Tier, before pool.Picker) pool.Picker {
	return p.build(p, next, before)
}

func (p *Maglev) kind() string { return fmt.Sprint("maglev ", p.TableSize) }

func (p *Maglev) table(members []balance.Member) table {
	size := p.TableSize
	if size < len(members) || size == 0 { // of dynamic ones, or none is given
		size = balance.MaglevSize(len(members))
	}
	return balance.NewMaglev(members, size)
}

func init() { cfg.Options("maglev", "lb_policy", append(hashingOptions, "table_size")...) }

// UnmarshalCaddyfile sets up the policy from Caddyfile tokens. Syntax:
//
//	lb_policy maglev <key> {
//		table_size     <prime>
//		balance_factor <percent>
//		hash_by        address|host
//		salt           <text>
//		fallback       <policy> [<args...>]
//		# options that every policy has
//	}
func (p *Maglev) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return p.unmarshal(d, "maglev", func() (known bool, err error) {
		if d.Val() != "table_size" {
			return false, nil
		}
		if p.TableSize, err = cfg.Int(d, minTableSize, maxTableSize); err != nil {
			return true, err
		}
		if err := p.validate(); err != nil {
			return true, d.WrapErr(err)
		}
		return true, nil
	})
}

// Interface guards
var (
	_ reverseproxy.Selector = (*Maglev)(nil)
	_ pool.Policy           = (*Maglev)(nil)
	_ caddy.Provisioner     = (*Maglev)(nil)
	_ caddy.CleanerUpper    = (*Maglev)(nil)
	_ caddyfile.Unmarshaler = (*Maglev)(nil)
)
