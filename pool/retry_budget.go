package pool

import (
	"errors"
	"strconv"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-evenkeel/evenkeel/internal/budget"
	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
	"github.com/caddy-evenkeel/evenkeel/internal/instant"
	"github.com/caddy-evenkeel/evenkeel/internal/request"
)

// RetryBudget limits the extra attempts that a pool makes, all of its requests
// together, so that retries do not multiply the load of upstreams that fail. A retry
// beyond the budget is not made: the client gets the error that there is.
type RetryBudget struct {
	// Make as many extra attempts as the requests may have. Default: false.
	Off bool `json:"off,omitempty"`

	// Extra attempts as a percentage of the requests of the last 10 s. 0 leaves
	// those per second. Default: 20.
	Percent *float64 `json:"percent,omitempty"`

	// Extra attempts a second beside those. Default: 10.
	PerSecond *int `json:"per_second,omitempty"`
}

const (
	defaultBudgetPercent   = 20
	defaultBudgetPerSecond = 10
	maxBudgetPerSecond     = 1_000_000
)

// unmarshal parses the option at the cursor. Syntax:
//
//	retry_budget <percent> [<per second>]
//	retry_budget off
func (b *RetryBudget) unmarshal(d *caddyfile.Dispenser) error {
	args, err := cfg.Args(d, 1, 2)
	if err != nil {
		return err
	}
	if args[0] == "off" {
		if b.Off = true; len(args) > 1 {
			return d.Errf("retry_budget off: unexpected argument '%s'", args[1])
		}
		return nil
	}
	percent, err := cfg.ParsePercent("retry_budget", args[0])
	if err != nil {
		return d.WrapErr(err)
	}
	b.Percent = &percent
	if len(args) == 2 {
		n, err := strconv.Atoi(args[1])
		if err != nil {
			return d.WrapErr(cfg.NotAnInteger("retry_budget", args[1]))
		}
		b.PerSecond = &n
	}
	if _, err := b.withDefaults(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// withDefaults checks the options, and returns them with their defaults; nil where
// there is no limit. Nil options are those of a policy that names none.
func (b *RetryBudget) withDefaults() (*RetryBudget, error) {
	percent, perSecond := float64(defaultBudgetPercent), defaultBudgetPerSecond
	if b != nil && b.Off {
		if b.Percent != nil || b.PerSecond != nil {
			return nil, errors.New("retry_budget: off and other options exclude each other")
		}
		return nil, nil
	}
	if b != nil && b.Percent != nil {
		percent = *b.Percent
	}
	if b != nil && b.PerSecond != nil {
		perSecond = *b.PerSecond
	}
	if err := cfg.CheckPercent("retry_budget", percent, 0, 100); err != nil {
		return nil, err
	}
	if err := cfg.CheckRange("retry_budget", perSecond, 0, maxBudgetPerSecond); err != nil {
		return nil, err
	}
	return &RetryBudget{Percent: &percent, PerSecond: &perSecond}, nil
}

// affords reports whether the pool's budget has room for the retry. Without it, the
// request ends with the error that it has.
func (p *Pool) affords(q *Query) bool {
	if p.budget == nil || p.bridges(q) {
		return true
	}
	now, o := instant.Now(), p.options.budget
	granted, level := p.budget.Withdraw(now, budget.Limit{Percent: *o.Percent, PerSecond: *o.PerSecond})
	if granted {
		q.extra = true
		return true
	}
	p.transport.Record(q.Request).Refuse()
	if repl := request.Replacer(q.Request); repl != nil {
		repl.Set(reasonKey, "budget")
	}
	p.memory.tally.refused.Add(1)
	if p.budgetLog.Allow(now) {
		p.log().Warn("retry refused: the retry budget is used up, so the request ends with the error that it has",
			zap.String("policy", p.policy), zap.Int("retries", level.Extra), zap.Int("requests", level.First),
			zap.Duration("within", budget.Window), zap.Float64("percent", *o.Percent), zap.Int("per_second", *o.PerSecond))
	}
	return false
}

// bridges reports whether the request waits for the end of an outage, or could not connect
// in one. Nothing of it was sent, and no upstream is asked more often for it: it goes only
// where the plugin could connect since, at the rate that answers set.
func (p *Pool) bridges(q *Query) bool {
	if p.holdTime() == 0 || !q.holds || !q.tried.Unsent() {
		return false
	}
	ms := p.dynamic.latest.Load()
	if ms == nil {
		ms = p.static
	}
	lost, over := ms.history.outage.lost.Load(), ms.history.outage.over.Load()
	since := max(lost, over) // connections that hung end after the outage
	return since != 0 && q.now()-since < int64(p.holdTime())
}

// settle ends what affords has begun: the retry is made now, or not at all, for
// nothing was picked.
func (p *Pool) settle(made bool) {
	if made {
		p.budget.Made(instant.Now())
	} else {
		p.budget.GiveUp()
	}
}
