package selectors

import (
	"fmt"
	"math"
	"math/rand/v2"
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

	random   func() uint64
	believed time.Duration // how long an estimate is
	now      func() time.Time
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
	p.random, p.now = rand.Uint64, time.Now
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
	p.believed = 5 * time.Duration(p.Decay)
	switch p.Measure {
	case "":
		p.Measure = measureHeader
	case measureHeader, measureLastByte:
	default:
		return fmt.Errorf("measure: '%s' is neither header nor last_byte", p.Measure)
	}
	if err := p.provision(ctx, p); err != nil {
		return err
	}
	p.SetLatency(time.Duration(p.Decay), p.Measure == measureLastByte)
	return nil
}

// Pick implements [pool.Picker].
func (p *PeakEWMA) Pick(q pool.Query) int {
	sample := newSample(len(q.Candidates), p.Choices, p.random())
	best, least := -1, math.Inf(1)
	for i := range sample.all {
		if cost := p.cost(&q, i); cost < least && q.OK(i) {
			best, least = i, cost
		}
	}
	return sample.pick(&q, best)
}

// cost is the time that the candidate is expected to need for what it has in
// flight and one request more, for its weight.
func (p *PeakEWMA) cost(q *pool.Query, i int) float64 {
	latency := max(q.Latency(i, p.believed, p.now), 1)
	return float64(latency) * float64(q.Active(i)+1) / float64(q.Candidates[i].Weight)
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
	_ pool.Picker           = (*PeakEWMA)(nil)
	_ caddy.Provisioner     = (*PeakEWMA)(nil)
	_ caddy.CleanerUpper    = (*PeakEWMA)(nil)
	_ caddyfile.Unmarshaler = (*PeakEWMA)(nil)
)
