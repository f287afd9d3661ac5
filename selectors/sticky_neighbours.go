package selectors

import (
	"slices"
	"strings"
	"sync"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// neighbours are the sticky policies of one configuration that set a cookie of one
// name in one site. Their cookies take each other's place at the client.
var neighbours = struct {
	sync.Mutex
	of map[neighbourhood][]*Sticky
}{of: make(map[neighbourhood][]*Sticky)}

type neighbourhood struct {
	site   caddy.Module // Caddy's HTTP app, or a route's subroute
	cookie string
}

// siteOf returns what tells the sites of a configuration apart: for each that has a
// name, a Caddyfile makes a subroute. The rest count as one, since clients do not
// tell ports apart.
func siteOf(ctx caddy.Context) (site caddy.Module) {
	for _, m := range ctx.Modules() {
		switch m.(type) {
		case *caddyhttp.Subroute:
			return m
		case *caddyhttp.App:
			site = m
		}
	}
	return site
}

// meet warns if a neighbour's cookie names other upstreams.
func (p *Sticky) meet(ctx caddy.Context) {
	own, fixed := p.handle.Addresses()
	p.hood = neighbourhood{siteOf(ctx), p.Cookie}
	if p.Cookie == "" || p.hood.site == nil || !fixed {
		p.hood = neighbourhood{}
		return
	}
	own = slices.Sorted(slices.Values(own))
	neighbours.Lock()
	defer neighbours.Unlock()
	for _, other := range neighbours.of[p.hood] {
		theirs, _ := other.handle.Addresses()
		if overlap(p.Path, other.Path) && !slices.Equal(own, slices.Sorted(slices.Values(theirs))) {
			ctx.Logger().Warn("two sticky policies of a site set a cookie of the same name for different upstreams, so that each ends the other's sessions:"+
				" give each a name of its own, as in: lb_policy sticky "+p.Cookie+"2", p.site(), zap.String("cookie", p.Cookie))
			break
		}
	}
	neighbours.of[p.hood] = append(neighbours.of[p.hood], p)
}

// overlap reports whether a client may have a cookie for one path and one for the
// other for the same request.
func overlap(a, b string) bool { return strings.HasPrefix(a, b) || strings.HasPrefix(b, a) }

// part ends what meet has begun.
func (p *Sticky) part() {
	neighbours.Lock()
	defer neighbours.Unlock()
	left := slices.DeleteFunc(neighbours.of[p.hood], func(other *Sticky) bool { return other == p })
	if neighbours.of[p.hood] = left; len(left) == 0 {
		delete(neighbours.of, p.hood)
	}
}
