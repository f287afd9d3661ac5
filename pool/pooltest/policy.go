package pooltest

import (
	"math/rand/v2"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/pool"
)

func init() {
	caddy.RegisterModule(new(byWeight))
	caddy.RegisterModule(new(inOrder))
}

var (
	// ByWeight is a policy that picks at random, in proportion to weights.
	ByWeight = Object{"policy": "by_weight"}

	// InOrder is a policy that picks the first candidate that may be picked.
	InOrder = Object{"policy": "in_order"}
)

// policy is what both have in common with those of the plugin: the options, and the
// handle on a pool.
type policy struct {
	pool.Options
	handle pool.Handle
}

// Select implements [reverseproxy.Selector].
func (p *policy) Select(upstreams reverseproxy.UpstreamPool, r *http.Request, w http.ResponseWriter) *reverseproxy.Upstream {
	return p.handle.Select(upstreams, r, w)
}

// Cleanup implements [caddy.CleanerUpper].
func (p *policy) Cleanup() error { return p.handle.Close() }

func (p *policy) provision(ctx caddy.Context, of pool.Policy) error {
	if err := p.handle.Provision(ctx, &p.Options, of, pool.Features{}); err != nil {
		return err
	}
	return p.handle.Start()
}

// byWeight is the module behind [ByWeight].
type byWeight struct{ policy }

// CaddyModule returns the Caddy module information.
func (*byWeight) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.reverse_proxy.selection_policies.by_weight", New: func() caddy.Module { return new(byWeight) }}
}

// Provision implements [caddy.Provisioner].
func (p *byWeight) Provision(ctx caddy.Context) error { return p.provision(ctx, p) }

// Build implements [pool.Policy].
func (*byWeight) Build(next *pool.Tier, _ pool.Picker) pool.Picker {
	sums, sum := make(sums, len(next.Candidates)), uint64(0)
	for i, c := range next.Candidates {
		sum += uint64(c.Weight)
		sums[i] = sum
	}
	return sums
}

// sums are the weights of the candidates up to each.
type sums []uint64

// Pick implements [pool.Picker].
func (s sums) Pick(q *pool.Query) int {
	i := 0
	for range 8 {
		if i = s.draw(); q.OK(i) {
			return i
		}
	}
	return q.Any(i)
}

func (s sums) draw() int {
	at := rand.Uint64N(s[len(s)-1])
	i, _ := slices.BinarySearch(s, at+1)
	return i
}

// inOrder is the module behind [InOrder].
type inOrder struct{ policy }

// CaddyModule returns the Caddy module information.
func (*inOrder) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.reverse_proxy.selection_policies.in_order", New: func() caddy.Module { return new(inOrder) }}
}

// Provision implements [caddy.Provisioner].
func (p *inOrder) Provision(ctx caddy.Context) error { return p.provision(ctx, p) }

// Build implements [pool.Policy].
func (*inOrder) Build(*pool.Tier, pool.Picker) pool.Picker { return firstPicker{} }

// firstPicker picks the first candidate that may be picked.
type firstPicker struct{}

// Pick implements [pool.Picker].
func (firstPicker) Pick(q *pool.Query) int { return q.Any(0) }

// Interface guards
var (
	_ reverseproxy.Selector = (*policy)(nil)
	_ caddy.CleanerUpper    = (*policy)(nil)
	_ caddy.Provisioner     = (*byWeight)(nil)
	_ caddy.Provisioner     = (*inOrder)(nil)
)
