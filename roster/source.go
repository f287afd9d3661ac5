// Package roster is a source of upstreams whose members operators change while Caddy
// runs: they are added, removed and weighted without a reload. What the configuration
// says is where a roster starts; what operators have changed lies in Caddy's storage,
// and goes before that.
package roster

import (
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/app"
	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
	"github.com/caddy-evenkeel/evenkeel/internal/orders"
)

func init() { caddy.RegisterModule(new(Source)) }

// defaultName is the name of a roster that is given none.
const defaultName = "default"

// Source is a source of upstreams that are added, removed and weighted while Caddy runs,
// without a reload: by the admin API, below /load_balancer/rosters.
type Source struct {
	// Name of the roster, in the API: letters, digits and ._:+-, at most 64. Handlers
	// that give the same name share the roster. Default: default.
	Name string `json:"name,omitempty"`

	// The members that the roster starts with. Changes by the API go before them.
	// Handlers that share a roster give the same ones, or none. Default: none.
	Members []Member `json:"members,omitempty"`

	roster    *Roster // nil where Provision has failed
	followers atomic.Int32
}

// Member is a member of a roster, as configured.
type Member struct {
	// The address to dial, as for upstreams of reverse_proxy: one socket.
	Dial string `json:"dial"`

	// The member's share of the traffic, where the policy knows weights. With 0 it gets
	// no new traffic. Default: what the policy's option weights says, else 1.
	Weight *int `json:"weight,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*Source) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.reverse_proxy.upstreams.roster",
		New: func() caddy.Module { return new(Source) },
	}
}

// Provision sets defaults, checks the members, and joins the roster.
func (s *Source) Provision(ctx caddy.Context) error {
	if s.Name == "" {
		s.Name = defaultName
	}
	if err := cfg.CheckName("roster", s.Name); err != nil {
		return err
	}
	seen := make(map[string]bool)
	for _, m := range s.Members {
		if err := m.check(); err != nil {
			return fmt.Errorf("roster '%s': member %v", s.Name, err)
		}
		if seen[m.Dial] {
			return fmt.Errorf("roster '%s': duplicate member '%s'", s.Name, m.Dial)
		}
		seen[m.Dial] = true
	}
	a, err := app.Of(ctx)
	if err != nil {
		return err
	}
	s.roster, err = join(a, ctx.Storage(), s.Name, s.Members)
	return err
}

// check returns what is wrong with the member.
func (m *Member) check() error {
	if err := cfg.CheckMember(m.Dial); err != nil {
		return err
	}
	if m.Weight != nil && (*m.Weight < 0 || *m.Weight > orders.MaxWeight) {
		return fmt.Errorf("'%s': weight %d is not between 0 and %d", m.Dial, *m.Weight, orders.MaxWeight)
	}
	return nil
}

// Cleanup leaves the roster. Requests in flight go on to ask it.
func (s *Source) Cleanup() error {
	if s.roster != nil {
		s.roster.leave()
	}
	return nil
}

// GetUpstreams implements [reverseproxy.UpstreamSource]. Caddy fills in each upstream for
// each request, without a mutex: so each request gets its own.
func (s *Source) GetUpstreams(*http.Request) ([]*reverseproxy.Upstream, error) {
	entries := s.roster.list.Load().of(s.followers.Load() > 0)
	all := make([]reverseproxy.Upstream, len(entries))
	upstreams := make([]*reverseproxy.Upstream, len(entries))
	for i := range entries {
		all[i].Dial = entries[i].address
		upstreams[i] = &all[i]
	}
	return upstreams, nil
}

// ConfiguredWeight returns the weight that the configuration gives to the member at the
// address; false where it gives none.
func (s *Source) ConfiguredWeight(address string) (weight int, ok bool) {
	if e := s.roster.list.Load().get(address); e != nil && e.configured != nil {
		return *e.configured, true
	}
	return 0, false
}

// Ordered returns what is changed of the member at the address.
func (s *Source) Ordered(address string) (effect orders.Effect) {
	if e := s.roster.list.Load().get(address); e != nil {
		effect = e.effect
	}
	return effect
}

// Follow has the function called after each change, from any goroutine. It must not
// block. InFlight returns how many requests to the address are in flight: a member that
// is removed stays, without new traffic, until there are none. It must not block, or call
// the source. Follow returns what ends it.
func (s *Source) Follow(changed func(), inFlight func(address string) int) (end func()) {
	s.followers.Add(1)
	unfollow := s.roster.follow(&follower{changed, inFlight})
	return func() {
		s.followers.Add(-1)
		unfollow()
	}
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Source)(nil)
	_ caddy.CleanerUpper          = (*Source)(nil)
	_ caddyfile.Unmarshaler       = (*Source)(nil)
	_ reverseproxy.UpstreamSource = (*Source)(nil)
)
