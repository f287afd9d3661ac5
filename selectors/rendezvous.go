package selectors

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/balance"
	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
	"github.com/caddy-evenkeel/evenkeel/pool"
)

func init() { caddy.RegisterModule(new(Rendezvous)) }

// Rendezvous is a policy that picks the upstream with the highest score for the
// request's key: one that goes leaves only its own keys to others. A pick looks at all
// upstreams; above some hundreds, maglev is faster.
type Rendezvous struct {
	hashing
}

// CaddyModule returns the Caddy module information.
func (*Rendezvous) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  namespace + ".rendezvous",
		New: func() caddy.Module { return new(Rendezvous) },
	}
}

// Provision sets up the policy.
func (p *Rendezvous) Provision(ctx caddy.Context) error { return p.provisionHashing(ctx, p) }

// Build implements [pool.Policy].
func (p *Rendezvous) Build(next *pool.Tier, before pool.Picker) pool.Picker {
	return p.build(p, next, before)
}

func (*Rendezvous) kind() string { return "rendezvous" }

func (*Rendezvous) table(members []balance.Member) table { return balance.NewRendezvous(members) }

func init() { cfg.Options("rendezvous", "lb_policy", hashingOptions...) }

// UnmarshalCaddyfile sets up the policy from Caddyfile tokens. Syntax:
//
//	lb_policy rendezvous <key> {
//		balance_factor <percent>
//		hash_by        address|host
//		salt           <text>
//		fallback       <policy> [<args...>]
//		# options that every policy has
//	}
func (p *Rendezvous) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return p.unmarshal(d, "rendezvous", nil)
}

// Interface guards
var (
	_ reverseproxy.Selector = (*Rendezvous)(nil)
	_ pool.Policy           = (*Rendezvous)(nil)
	_ caddy.Provisioner     = (*Rendezvous)(nil)
	_ caddy.CleanerUpper    = (*Rendezvous)(nil)
	_ caddyfile.Unmarshaler = (*Rendezvous)(nil)
)
