package selectors

import (
	"fmt"
	"math"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
	"github.com/caddy-evenkeel/evenkeel/pool"
)

func init() { caddy.RegisterModule(new(PeakEWMA)) }

// PeakEWMA is a policy that draws some candidates at random and picks the one
// that is likely to answer soonest: the least latency × (active+1) / weight. The
// latency is a moving average that follows peaks at once (see
// package internal/balance). An upstream with an attempt in flight for longer than
// that is held to be as slow as the attempt is old, and a failed attempt, which
// any 5xx is, counts as a second or twice the latency, whichever is more. One of which nothing is
// known is held to be as fast as all are in the mean, and so is, while it is
// idle, one of which nothing was heard for five times the decay: otherwise one
// slow answer could keep it out for good.
//
// Idle ones whose latencies differ by no more than is noise are equal, and shares
// follow the weights among equals.
type PeakEWMA struct {
	common

	// How many candidates to draw. Default: 5.
	Choices int `json:"choices,omitempty"`

	// Within what time the average forgets, to 1/e. Default: 1s.
	Decay caddy.Duration `json:"decay,omitempty"`

	// Latency is the time until the response's header, or, with last_byte,
	// until its end, which is of no use where responses are streams without
	// one. Default: header.
	Measure string `json:"measure,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*PeakEWMA) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  namespace + ".peak_ewma",
		New: func() caddy.Module { return new(PeakEWMA) },
	}
}

const (
	measureHeader   = "header"
	measureLastByte = "last_byte"
)

// Provision sets up the policy.
func (p *PeakEWMA) Provision(ctx caddy.Context) error {
	if p.Choices == 0 {
		p.Choices = 5
	}
	if p.Choices < 1 || p.Choices > maxChoices {
		return fmt.Errorf("choices: %d is not between 1 and %d", p.Choices, maxChoices)
	}
	if p.Decay == 0 {
		p.Decay = caddy.Duration(pool.DefaultDecay)
	}
	if p.Decay < 0 || p.Decay > caddy.Duration(cfg.MaxDuration) {
		return fmt.Errorf("decay: %s is not above zero and below ten years", time.Duration(p.Decay))
	}
	switch p.Measure {
	case "":
		p.Measure = measureHeader
	case measureHeader, measureLastByte:
	default:
		return fmt.Errorf("measure: '%s' is neither header nor last_byte", p.Measure)
	}
	latency := &pool.LatencyFeature{Decay: time.Duration(p.Decay), ToLastByte: p.Measure == measureLastByte}
	return p.provision(ctx, p, pool.Features{Latency: latency})
}

// Build implements [pool.Policy].
func (p *PeakEWMA) Build(next *pool.Tier, _ pool.Picker) pool.Picker {
	return &peakEWMAPicker{newSampler(next, p.Choices), 5 * time.Duration(p.Decay)}
}

// peakEWMAPicker picks the candidate of a sample that is likely to answer soonest.
type peakEWMAPicker struct {
	sampler
	believed time.Duration // how long an estimate is believed
}

// Pick implements [pool.Picker].
func (p *peakEWMAPicker) Pick(q *pool.Query) int {
	sample := p.draw(q)
	best, least := sample.first, prospect{cost: math.Inf(1)}
	if !q.OK(best) {
		best = p.redraw(q, &sample)
	}
	if best >= 0 {
		least = p.prospect(q, best)
	}
	for i := range sample.others {
		if next := p.prospect(q, i); next.before(least) && q.OK(i) {
			best, least = i, next
		}
	}
	return sample.pick(q, best)
}

// prospect is what is to be expected of a candidate.
type prospect struct {
	cost    float64 // latency × (active+1) / weight
	idle    bool
	latency time.Duration
	noise   time.Duration
}

func (p *peakEWMAPicker) prospect(q *pool.Query, i int) prospect {
	latency, active := max(q.Latency(i, p.believed), 1), q.Active(i)
	return prospect{
		cost:    float64(latency) * float64(active+1) / float64(q.Candidates[i].Weight),
		idle:    active == 0,
		latency: latency,
		noise:   q.Noise(i),
	}
}

// before reports whether a candidate is better than one drawn before it. Of two
// that are idle, one is not for its weight alone, which the draw has heeded: it has
// to be faster by more than is noise for either. So the slow stay apart from the
// fast, whose noise is small.
func (a prospect) before(b prospect) bool {
	if a.cost >= b.cost {
		return false
	}
	return !a.idle || !b.idle || b.latency-a.latency > min(a.noise, b.noise)
}

func init() { cfg.Options("peak_ewma", "lb_policy", "choices", "decay", "measure") }

// UnmarshalCaddyfile sets up the policy from Caddyfile tokens. Syntax:
//
//	lb_policy peak_ewma {
//		choices <n>
//		decay   <duration>
//		measure header|last_byte
//		# options that every policy has
//	}
func (p *PeakEWMA) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the policy's name
	if err := cfg.NoArgs(d); err != nil {
		return err
	}
	return p.unmarshalBlock(d, "peak_ewma", func() (known bool, err error) {
		switch d.Val() {
		case "choices":
			p.Choices, err = cfg.Int(d, 1, maxChoices)
		case "decay":
			p.Decay, err = cfg.Duration(d)
		case "measure":
			p.Measure, err = cfg.Arg(d)
			if err == nil && p.Measure != measureHeader && p.Measure != measureLastByte {
				err = d.Errf("measure: '%s' is neither header nor last_byte", p.Measure)
			}
		default:
			return false, nil
		}
		return true, err
	})
}

// Interface guards
var (
	_ reverseproxy.Selector = (*PeakEWMA)(nil)
	_ pool.Policy           = (*PeakEWMA)(nil)
	_ caddy.Provisioner     = (*PeakEWMA)(nil)
	_ caddy.CleanerUpper    = (*PeakEWMA)(nil)
	_ caddyfile.Unmarshaler = (*PeakEWMA)(nil)
)
