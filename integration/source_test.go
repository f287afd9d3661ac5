package integration

import (
	"math/rand/v2"
	"net/http"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

func init() { caddy.RegisterModule(new(shuffled)) }

// shuffled is a source of upstreams that returns new ones for each request, in
// any order: what members has under the source's name.
type shuffled struct {
	Name string `json:"name"`
}

var members listing

// listing is addresses by name.
type listing struct {
	mu     sync.Mutex
	byName map[string][]string
}

func (l *listing) set(name string, all ...*backend) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byName == nil {
		l.byName = make(map[string][]string)
	}
	l.byName[name] = nil
	for _, b := range all {
		l.byName[name] = append(l.byName[name], b.addr)
	}
}

func (*shuffled) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.reverse_proxy.upstreams.shuffled", New: func() caddy.Module { return new(shuffled) }}
}

// UnmarshalCaddyfile sets up the source. Syntax:
//
//	dynamic shuffled <name>
func (s *shuffled) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if !d.Args(&s.Name) {
		return d.ArgErr()
	}
	return nil
}

// GetUpstreams implements reverseproxy.UpstreamSource.
func (s *shuffled) GetUpstreams(*http.Request) ([]*reverseproxy.Upstream, error) {
	members.mu.Lock()
	defer members.mu.Unlock()
	addresses := members.byName[s.Name]
	upstreams := make([]*reverseproxy.Upstream, len(addresses))
	for i, place := range rand.Perm(len(addresses)) {
		upstreams[place] = &reverseproxy.Upstream{Dial: addresses[i]}
	}
	return upstreams, nil
}
