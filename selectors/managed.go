package selectors

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
	"github.com/caddy-evenkeel/evenkeel/pool"
)

func init() { caddy.RegisterModule(new(Managed)) }

// Managed is a policy that leaves the pick to any other, Caddy's own included,
// which gets to see only the upstreams that may be picked: those that are
// healthy, and that the request has not tried yet.
type Managed struct {
	common

	// The policy that picks. Weights other than 0 are not its business.
	InnerRaw json.RawMessage `json:"inner,omitempty" caddy:"namespace=http.reverse_proxy.selection_policies inline_key=policy"`

	inner *inner
}

// CaddyModule returns the Caddy module information.
func (*Managed) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  namespace + ".managed",
		New: func() caddy.Module { return new(Managed) },
	}
}

// Provision sets up the policy and the one inside.
func (p *Managed) Provision(ctx caddy.Context) error {
	pool.Unweighted(&p.Options)
	if p.InnerRaw == nil {
		return errors.New(`managed: no policy; name the one that picks: "inner": {"policy": …}`)
	}
	features := pool.Features{Key: p.key, Undo: p.undo}
	if err := p.handle.Provision(ctx, &p.Options, p, features); err != nil {
		return err
	}
	within := p.handle.Enclose(ctx)
	mod, err := within.LoadModule(p, "InnerRaw")
	if err != nil {
		return fmt.Errorf("managed: %v", err)
	}
	p.inner = newInner(mod)
	return p.handle.Start()
}

// Build implements [pool.Policy].
func (p *Managed) Build(next *pool.Tier, before pool.Picker) pool.Picker {
	return p.inner.build(next, before)
}

func (p *Managed) key(r *http.Request) (key uint32, ok bool) { return p.inner.key(r) }

// undo takes back what the policy inside has set on the response.
func (p *Managed) undo(r *http.Request, header http.Header) { p.inner.cookies.undo(r, header) }

func init() { cfg.Options("managed", "lb_policy", "policy") }

// UnmarshalCaddyfile sets up the policy from Caddyfile tokens. Syntax:
//
//	lb_policy managed <policy> [<args...>] {
//		# options that every policy has; weight only 0
//	}
//	lb_policy managed {
//		policy <policy> [<args...>] {
//			# the inner policy's options
//		}
//		# options that every policy has; weight only 0
//	}
func (p *Managed) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the policy's name
	name := d.Token()
	pool.Unweighted(&p.Options)
	if d.NextArg() {
		inner := []caddyfile.Token{d.Token()}
		for d.NextArg() {
			inner = append(inner, d.Token())
		}
		var err error
		if p.InnerRaw, err = unmarshalInner(caddyfile.NewDispenser(inner)); err != nil {
			return err
		}
	}
	err := p.unmarshalBlock(d, "managed", func() (known bool, err error) {
		if d.Val() != "policy" {
			return false, nil
		}
		if p.InnerRaw != nil {
			return true, d.Err("managed: there is a policy already; remove one")
		}
		if !d.NextArg() {
			return true, d.Err("policy: missing argument")
		}
		p.InnerRaw, err = unmarshalInner(d.NewFromNextSegment())
		return true, err
	})
	if err != nil {
		return err
	}
	if p.InnerRaw == nil {
		return cfg.ErrAt(name, "managed: missing policy; name the one that picks: lb_policy managed <policy>")
	}
	return nil
}

// Interface guards
var (
	_ reverseproxy.Selector = (*Managed)(nil)
	_ pool.Policy           = (*Managed)(nil)
	_ caddy.Provisioner     = (*Managed)(nil)
	_ caddy.CleanerUpper    = (*Managed)(nil)
	_ caddyfile.Unmarshaler = (*Managed)(nil)
)
