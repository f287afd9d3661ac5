package selectors

import (
	"bytes"
	"encoding/json"
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

// inner is a policy inside one of ours: any, Caddy's own included.
type inner struct {
	selector reverseproxy.Selector
	ours     *common // its base, if it is a policy of ours; else nil
	name     string
	cookies  responseEditor // of those that it sets
}

// based is a policy of ours.
type based interface{ base() *common }

func newInner(module any) *inner {
	in := &inner{selector: module.(reverseproxy.Selector), name: module.(caddy.Module).CaddyModule().ID.Name()}
	if ours, ok := module.(based); ok {
		in.ours = ours.base()
	}
	in.cookies = newResponseEditor(in, "Set-Cookie")
	return in
}

// loadFallback loads the policy that is inside another one as its fallback; by
// default, weighted_random.
func loadFallback(ctx caddy.Context, outer any, raw *json.RawMessage) (*inner, error) {
	if *raw == nil {
		*raw = json.RawMessage(`{"policy": "weighted_random"}`)
	}
	mod, err := ctx.LoadModule(outer, "FallbackRaw")
	if err != nil {
		return nil, fmt.Errorf("fallback: %v", err)
	}
	return newInner(mod), nil
}

// cookie returns the name of the cookie that the policy sets; empty if it sets none.
func (p *inner) cookie() string {
	switch policy := p.selector.(type) {
	case *reverseproxy.CookieHashSelection:
		return policy.Name
	case *Sticky:
		return policy.Cookie
	}
	return ""
}

// build builds the policy's picker of a tier.
func (p *inner) build(next *pool.Tier, before pool.Picker) pool.Picker {
	if p.ours != nil {
		return p.ours.handle.Build(next, before)
	}
	return p
}

// Pick implements [pool.Picker] for a policy that is none of ours.
func (p *inner) Pick(q *pool.Query) int {
	left := q.Acceptable()
	if len(left) == 0 {
		return pool.None
	}
	// Nil if the policy inside found none, which is among no upstreams.
	return slices.Index(q.Upstreams, p.ask(left, q.Request, q.Writer))
}

// ask lets the policy inside, which is none of ours, pick from the upstreams.
func (p *inner) ask(upstreams []*reverseproxy.Upstream, r *http.Request, w http.ResponseWriter) *reverseproxy.Upstream {
	if w == nil {
		// Policies that set a cookie do not expect this.
		return p.selector.Select(upstreams, r, unread{})
	}
	header := w.Header()
	p.cookies.undo(r, header)
	before := len(header["Set-Cookie"])
	picked := p.selector.Select(upstreams, r, w)
	if set := header["Set-Cookie"]; len(set) > before {
		var lines []headerLine
		for _, cookie := range set[before:] {
			lines = append(lines, headerLine{header, "Set-Cookie", cookie})
		}
		p.cookies.note(r, lines...)
	}
	return picked
}

// key is what the outer policy does as Key of its [pool.Features]. Policies that are
// none of ours do not tell what of the request they pick by; for most, the client's
// address comes close.
func (p *inner) key(r *http.Request) (key uint32, ok bool) {
	if p.ours != nil {
		return p.ours.handle.Key(r)
	}
	if r == nil {
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

// unread is a response that is not read.
type unread struct{}

func (unread) Header() http.Header         { return make(http.Header) }
func (unread) Write(b []byte) (int, error) { return len(b), nil }
func (unread) WriteHeader(int)             {}

// unmarshalInner parses a policy, whose name comes next.
func unmarshalInner(d *caddyfile.Dispenser) (json.RawMessage, error) {
	d.Next()
	name := d.Val()
	var names []string
	for _, m := range caddy.GetModules(namespace) {
		names = append(names, m.ID.Name())
	}
	if !slices.Contains(names, name) {
		return nil, d.Errf("no policy is '%s'; %s%s", name, cfg.There(names), cfg.Meant(name, names))
	}
	policy, err := caddyfile.UnmarshalModule(d, namespace+"."+name)
	if err != nil {
		return nil, err
	}
	if _, ok := policy.(reverseproxy.Selector); !ok {
		return nil, d.Errf("the module '%s' is not a policy", name)
	}
	if ours, ok := policy.(based); ok {
		if err := pool.CommonOption(&ours.base().Options); err != nil {
			return nil, err
		}
	}
	raw := caddyconfig.JSONModuleObject(policy, "policy", name, nil)
	return raw, checkBlock(d, name, raw)
}

// checkBlock returns an error if the policy, of which the JSON has come, has not
// heeded its block: most of Caddy's own do not look whether there is one.
func checkBlock(d *caddyfile.Dispenser, name string, raw json.RawMessage) error {
	d.Reset()
	d.Next()
	alone := []caddyfile.Token{d.Token()}
	for d.NextArg() {
		alone = append(alone, d.Token())
	}
	if !d.NextBlock(0) {
		return nil
	}
	option := d.Token()
	policy, err := caddyfile.UnmarshalModule(caddyfile.NewDispenser(alone), namespace+"."+name)
	if err != nil || !bytes.Equal(raw, caddyconfig.JSONModuleObject(policy, "policy", name, nil)) {
		return nil
	}
	return cfg.ErrAt(option, "%s takes no options: '%s' has no effect inside it", name, option.Text)
}

// unmarshalFallback parses the option at the cursor. Syntax:
//
//	fallback <policy> [<args...>] [{ ... }]
func unmarshalFallback(d *caddyfile.Dispenser) (json.RawMessage, error) {
	if !d.NextArg() {
		return nil, d.Err("fallback: missing argument")
	}
	return unmarshalInner(d.NewFromNextSegment())
}
