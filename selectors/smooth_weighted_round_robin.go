package selectors

import (
	"math"
	"math/rand/v2"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/balance"
	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
	"github.com/caddy-evenkeel/evenkeel/pool"
)

func init() { caddy.RegisterModule(new(SmoothWeightedRoundRobin)) }

// SmoothWeightedRoundRobin is a policy that picks in turn, each upstream as
// often as its weight says and its turns spread evenly: weights 5 1 1 give
// a a b a c a a.
type SmoothWeightedRoundRobin struct{ common }

// CaddyModule returns the Caddy module information.
func (*SmoothWeightedRoundRobin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  namespace + ".smooth_weighted_round_robin",
		New: func() caddy.Module { return new(SmoothWeightedRoundRobin) },
	}
}

// Provision sets up the policy.
func (p *SmoothWeightedRoundRobin) Provision(ctx caddy.Context) error {
	return p.provision(ctx, p, pool.Features{})
}

// rotation picks the candidate whose turn it is.
type rotation struct {
	turn atomic.Uint64
	_    [56]byte // written at each pick; what follows is only read

	candidates []pool.Candidate
	smooth     *balance.Smooth
	stride     *balance.Stride    // instead of smooth, for large pools
	owed       map[string]float64 // turns owed to those that are out
}

// largestTable is the cost of a table above which a stride takes its place:
// some milliseconds of work at each flip.
const largestTable = 4_000_000

// Build implements [pool.Policy]. An upstream that was owed a turn before is owed it
// still, so that a flip neither repeats nor skips one's turn.
func (*SmoothWeightedRoundRobin) Build(next *pool.Tier, before pool.Picker) pool.Picker {
	weights := weights(next)
	r := &rotation{candidates: next.Candidates, owed: make(map[string]float64)}
	last, _ := before.(*rotation)
	if balance.SmoothCost(weights) > largestTable {
		r.stride = balance.NewStride(weights)
		if last != nil && last.stride != nil {
			r.turn.Store(scale(last.turn.Load(), last.stride.Steps(), r.stride.Steps()))
		}
		return r
	}
	if last == nil || last.smooth == nil {
		r.smooth = balance.NewSmooth(weights, nil)
		return r
	}
	for address, turns := range last.owed {
		r.owed[address] = turns
	}
	turns := last.smooth.Owed(last.turn.Load())
	for i, c := range last.candidates {
		r.owed[c.Address] = turns[i]
	}
	owed := make([]float64, len(weights))
	for i, c := range next.Candidates {
		owed[i] = r.owed[c.Address]
		delete(r.owed, c.Address)
	}
	r.smooth = balance.NewSmooth(weights, owed)
	return r
}

// scale carries a turn in a round of some steps over to a round of others.
func scale(turn uint64, from, to int) uint64 {
	part := float64(turn%uint64(from)) / float64(from)
	return uint64(math.Ceil(part * float64(to)))
}

// Pick implements [pool.Picker].
func (r *rotation) Pick(q *pool.Query) int {
	i := 0
	next := r.next
	if q.IsRetry() {
		next = r.any
	}
	for range maxDraws {
		i = next()
		if q.OK(i) {
			return i
		}
	}
	return q.Any(i)
}

// maxSkips bounds the search for the next turn; half of all steps or more are
// one.
const maxSkips = 1000

// next returns the candidate whose turn it is.
func (r *rotation) next() (i int) {
	if r.smooth != nil {
		return r.smooth.At(r.turn.Add(1) - 1)
	}
	for range maxSkips {
		var ok bool
		if i, ok = r.stride.At(r.turn.Add(1) - 1); ok {
			break
		}
	}
	return i
}

// any returns the candidate of a turn at random. Retries take that: otherwise
// upstreams that fail and follow each other would always meet the same requests.
func (r *rotation) any() (i int) {
	if r.smooth != nil {
		return r.smooth.At(rand.Uint64() >> 1)
	}
	for range maxSkips {
		var ok bool
		if i, ok = r.stride.At(rand.Uint64() >> 1); ok {
			break
		}
	}
	return i
}

func init() { cfg.Options("smooth_weighted_round_robin", "lb_policy") }

// UnmarshalCaddyfile sets up the policy from Caddyfile tokens. Syntax:
//
//	lb_policy smooth_weighted_round_robin {
//		# options that every policy has
//	}
func (p *SmoothWeightedRoundRobin) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the policy's name
	if err := cfg.NoArgs(d); err != nil {
		return err
	}
	return p.unmarshalBlock(d, "smooth_weighted_round_robin", nil)
}

// Interface guards
var (
	_ reverseproxy.Selector = (*SmoothWeightedRoundRobin)(nil)
	_ pool.Policy           = (*SmoothWeightedRoundRobin)(nil)
	_ caddy.Provisioner     = (*SmoothWeightedRoundRobin)(nil)
	_ caddy.CleanerUpper    = (*SmoothWeightedRoundRobin)(nil)
	_ caddyfile.Unmarshaler = (*SmoothWeightedRoundRobin)(nil)
)
