package selectors

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
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

	inner   reverseproxy.Selector
	ours    insider // the same, if it is a policy of ours
	name    string  // of the same
	cookies string  // where a request's replacer keeps the cookies that inner has set
}

// insider is a policy of ours inside another one.
type insider interface{ Inner(q pool.Query) int }

// CaddyModule returns the Caddy module information.
func (*Managed) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  namespace + ".managed",
		New: func() caddy.Module { return new(Managed) },
	}
}

// Provision sets up the policy and the one inside.
func (p *Managed) Provision(ctx caddy.Context) error {
	p.Unweighted()
	if p.InnerRaw == nil {
		return errors.New("managed: no policy")
	}
	if err := p.Handle.Provision(ctx, &p.Options, p); err != nil {
		return err
	}
	mod, err := ctx.LoadModule(p, "InnerRaw")
	if err != nil {
		return fmt.Errorf("managed: %v", err)
	}
	p.inner = mod.(reverseproxy.Selector)
	p.ours, _ = mod.(insider)
	p.name = mod.(caddy.Module).CaddyModule().ID.Name()
	p.cookies = fmt.Sprintf("http.load_balancer.cookies.%p", p)
	return p.Start()
}

// Pick implements [pool.Picker].
func (p *Managed) Pick(q pool.Query) int {
	if p.ours != nil {
		return p.ours.Inner(q)
	}
	left := q.Acceptable()
	if len(left) == 0 {
		return pool.None
	}
	// Nil if the policy inside found none, which is among no upstreams.
	return slices.Index(q.Upstreams, p.ask(left, q.Request, q.Writer))
}

// ask lets the policy inside, which is not one of ours, pick from the upstreams.
func (p *Managed) ask(upstreams []*reverseproxy.Upstream, r *http.Request, w http.ResponseWriter) *reverseproxy.Upstream {
	if w == nil {
		// Policies that set a cookie do not expect this.
		return p.inner.Select(upstreams, r, nobody{})
	}
	header := w.Header()
	p.takeBack(r, header)
	before := len(header["Set-Cookie"])
	picked := p.inner.Select(upstreams, r, w)
	if set := header["Set-Cookie"]; len(set) > before {
		if repl := pool.Replacer(r); repl != nil {
			repl.Set(p.cookies, slices.Clone(set[before:]))
		}
	}
	return picked
}

// Key implements [pool.Keyed]. By what of the request the policy inside picks,
// most do not tell; the client's address comes close.
func (p *Managed) Key(r *http.Request) (key uint32, ok bool) {
	if keyed, ok := p.inner.(pool.Keyed); ok {
		return keyed.Key(r)
	}
	if p.ours != nil || r == nil {
		return 0, false
	}
	switch p.name {
	case "random", "random_choose", "least_conn", "round_robin", "weighted_round_robin", "first":
		return 0, false
	case "uri_hash":
		return hash(r.RequestURI), true
	}
	client, ok := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	if !ok {
		client, _, _ = net.SplitHostPort(r.RemoteAddr)
	}
	return hash(client), true
}

func hash(text string) uint32 { return uint32(xxhash.Sum64String(text) >> 32) }

// takeBack removes the cookies that name the upstream of an earlier pick.
func (p *Managed) takeBack(r *http.Request, header http.Header) {
	repl := pool.Replacer(r)
	if len(header["Set-Cookie"]) == 0 || repl == nil {
		return
	}
	value, _ := repl.Get(p.cookies)
	earlier, _ := value.([]string)
	if len(earlier) == 0 {
		return
	}
	repl.Delete(p.cookies)
	header["Set-Cookie"] = slices.DeleteFunc(header["Set-Cookie"], func(c string) bool {
		return slices.Contains(earlier, c)
	})
	if len(header["Set-Cookie"]) == 0 {
		delete(header, "Set-Cookie")
	}
}

// nobody is a response that nobody reads.
type nobody struct{}

func (nobody) Header() http.Header         { return make(http.Header) }
func (nobody) Write(b []byte) (int, error) { return len(b), nil }
func (nobody) WriteHeader(int)             {}

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
	p.Unweighted()
	if d.NextArg() {
		inner := []caddyfile.Token{d.Token()}
		for d.NextArg() {
			inner = append(inner, d.Token())
		}
		if err := p.unmarshalInner(caddyfile.NewDispenser(inner)); err != nil {
			return err
		}
	}
	err := p.unmarshalBlock(d, "managed", func() (bool, error) {
		if d.Val() != "policy" {
			return false, nil
		}
		if p.InnerRaw != nil {
			return true, d.Err("managed: a policy is there already")
		}
		if !d.NextArg() {
			return true, d.Err("policy: missing argument")
		}
		return true, p.unmarshalInner(d.NewFromNextSegment())
	})
	if err != nil {
		return err
	}
	if p.InnerRaw == nil {
		return cfg.ErrAt(name, "managed: missing policy")
	}
	return nil
}

// unmarshalInner parses the inner policy, whose name comes next.
func (p *Managed) unmarshalInner(d *caddyfile.Dispenser) error {
	d.Next()
	name := d.Val()
	policy, err := caddyfile.UnmarshalModule(d, namespace+"."+name)
	if err != nil {
		return err
	}
	if _, ok := policy.(reverseproxy.Selector); !ok {
		return d.Errf("managed: %T is not a policy", policy)
	}
	if ours, ok := policy.(interface{ CommonOption() error }); ok {
		if err := ours.CommonOption(); err != nil {
			return err
		}
	}
	p.InnerRaw = caddyconfig.JSONModuleObject(policy, "policy", name, nil)
	return nil
}

// Interface guards
var (
	_ reverseproxy.Selector = (*Managed)(nil)
	_ pool.Picker           = (*Managed)(nil)
	_ pool.Keyed            = (*Managed)(nil)
	_ caddy.Provisioner     = (*Managed)(nil)
	_ caddy.CleanerUpper    = (*Managed)(nil)
	_ caddyfile.Unmarshaler = (*Managed)(nil)
)
