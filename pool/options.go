// Package pool knows which upstreams may be picked. It holds what all policies have in
// common: their options, the state of each upstream, the snapshots that policies pick
// from, and what a pool remembers over reloads.
package pool

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
	"github.com/caddy-evenkeel/evenkeel/outlier"
	"github.com/caddy-evenkeel/evenkeel/queue"
)

// Options are those that every policy has.
type Options struct {
	// Name of the pool, in API, logs, events and metrics: letters, digits and ._:+-,
	// at most 64. No two pools may have the same. Default: the policy and the first
	// upstream, as in peak_ewma@10.0.0.1:80.
	Name string `json:"name,omitempty"`

	// Weights of upstreams, by address as configured or as dialled, by host
	// or by CIDR range; the most specific match counts. An upstream of weight
	// 0 gets no new traffic. Default: 1.
	Weights map[string]int `json:"weights,omitempty"`

	// Priority levels of upstreams, named as for weights. Upstreams of a higher
	// level get traffic as those of lower ones fail. Default: 0.
	Priorities map[string]int `json:"priorities,omitempty"`

	// Upstreams that get traffic only when no other one is left, named as for
	// weights. Default: none.
	Backups []string `json:"backups,omitempty"`

	// How much more than its share of the traffic an upstream is expected to
	// bear. A level leaves traffic to the next when fewer than one over this
	// factor of its upstreams are healthy: at 1.4, fewer than 71 %. At least 1.
	// Default: 1.4.
	Overprovisioning *float64 `json:"overprovisioning,omitempty"`

	// How long a level must have been healthy before it gets back the traffic
	// that it left to the next one, or to backups. Default: 0, at once.
	FailbackDelay caddy.Duration `json:"failback_delay,omitempty"`

	// How often a failed request is tried on another upstream. What may be
	// retried is for Caddy to say: a failed dial always, other failures for
	// GET or where lb_retry_match says so. 0 turns retries off. Default: 2,
	// where the handler sets neither retries nor try_duration.
	Retries *int `json:"retries,omitempty"`

	// Let a retry go to an upstream that this request has already tried,
	// although others are left. Default: false.
	RetrySame bool `json:"retry_same,omitempty"`

	// How many of the attempts may be extra ones, so that a pool that fails is not
	// asked several times as often as one that does not. Default: 20 % of requests,
	// and 10 a second.
	RetryBudget *RetryBudget `json:"retry_budget,omitempty"`

	// Percentage of healthy upstreams below which verdicts and ejections are
	// ignored, so that all of the traffic does not fall on the last few. 0: they
	// are never ignored. Default: they are ignored where no upstream is left.
	PanicThreshold *float64 `json:"panic_threshold,omitempty"`

	// Time in which the weight of an upstream grows from a tenth to its full
	// value, after it has recovered, was ejected or drained, or has joined late.
	// Default: none.
	SlowStart *SlowStart `json:"slow_start,omitempty"`

	// How many requests upstreams may have in flight at once, named as for
	// weights. An upstream that has as many gets no more. Requests of all handlers
	// count. Of this limit, Caddy's own and that of an agent, the lowest holds.
	// Default: default_max_requests.
	MaxRequests map[string]int `json:"max_requests,omitempty"`

	// The limit of upstreams that max_requests does not name. Default: none.
	DefaultMaxRequests int `json:"default_max_requests,omitempty"`

	// Where requests wait while all upstreams have as many in flight as their
	// limit allows. Default: none, requests get a 503.
	Queue *queue.Options `json:"queue,omitempty"`

	// Where requests wait while all upstreams are down. Default: up to 5,000 of them,
	// until 3 s after the last upstream was lost.
	Hold *queue.HoldOptions `json:"hold,omitempty"`

	// Which upstreams get nothing for a while because requests to them fail.
	// Default: those that requests could not reach.
	OutlierDetection *outlier.Options `json:"outlier_detection,omitempty"`

	// Active health checks, all of which an upstream must pass.
	HealthChecks []*healthcheck.Check `json:"health_checks,omitempty"`

	seen       cfg.Seen         // options met while parsing a Caddyfile
	first      *caddyfile.Token // the first of them
	unweighted bool
	weights    assigned
	levels     assigned
	limits     assigned
	backups    assigned

	rules  *outlier.Rules     // of outlier detection; nil where it is off
	hold   *queue.HoldOptions // with its defaults; nil where it is off
	budget *RetryBudget       // likewise
}

// Unweighted makes weights other than 0 an error, since the policy does not know
// weights.
func Unweighted(o *Options) { o.unweighted = true }

const (
	maxWeight               = math.MaxInt32
	maxLevel                = 1000
	maxRetries              = 1000
	maxOverprovisioning     = 100
	defaultOverprovisioning = 1.4
)

// reset forgets what was parsed of weights, priorities, backups and limits.
func (o *Options) reset() {
	o.weights = assigned{option: "weight", max: maxWeight}
	o.levels = assigned{option: "priority", max: maxLevel}
	o.backups = assigned{option: "backup"}
	o.limits = assigned{option: "max_requests", min: 1, max: maxLimit}
}

// checkBackups returns an error if a backup has a priority, too, by the same name.
func (o *Options) checkBackups() error {
	for _, m := range o.backups.set.Matches() {
		if o.levels.set.Has(m) {
			return fmt.Errorf("backup: '%s' has a priority, too, but a backup is on no level; remove one of them", m)
		}
	}
	return nil
}

var errManagedSlowStart = errors.New("slow_start: managed takes none, since its inner policy knows no weights")

// checkUnweighted returns an error if there are weights that the policy does not know.
func (o *Options) checkUnweighted() error {
	for upstream, weight := range o.Weights {
		if o.unweighted && weight != 0 {
			return fmt.Errorf("weight: %d of upstream '%s': managed takes only 0, since its inner policy knows no weights", weight, upstream)
		}
	}
	return nil
}

// provision checks the options, which may not have come from a Caddyfile.
func (o *Options) provision() error {
	o.reset()
	if err := cfg.CheckName("name", o.Name); err != nil {
		return err
	}
	if err := o.weights.provision(o.Weights); err != nil {
		return err
	}
	if err := o.checkUnweighted(); err != nil {
		return err
	}
	if err := o.levels.provision(o.Priorities); err != nil {
		return err
	}
	if err := o.backups.provisionList(o.Backups); err != nil {
		return err
	}
	if err := o.checkBackups(); err != nil {
		return err
	}
	if err := o.limits.provision(o.MaxRequests); err != nil {
		return err
	}
	if err := o.checkDefaultLimit(); err != nil {
		return err
	}
	if f := o.Overprovisioning; f != nil && !(*f >= 1 && *f <= maxOverprovisioning) {
		return fmt.Errorf("overprovisioning: %v is not between 1 and %d", *f, maxOverprovisioning)
	}
	if d := o.FailbackDelay; d < 0 || d > caddy.Duration(cfg.MaxDuration) {
		return fmt.Errorf("failback_delay: %s is not above zero and below ten years", time.Duration(d))
	}
	if o.Retries != nil && (*o.Retries < 0 || *o.Retries > maxRetries) {
		return fmt.Errorf("retries: %d is not between 0 and %d", *o.Retries, maxRetries)
	}
	if p := o.PanicThreshold; p != nil && !(*p >= 0 && *p <= 100) {
		return fmt.Errorf("panic_threshold: %v%% is not between 0%% and 100%%", *p)
	}
	if o.SlowStart != nil {
		if o.unweighted {
			return errManagedSlowStart
		}
		if err := o.SlowStart.provision(); err != nil {
			return err
		}
	}
	if o.Queue != nil {
		if err := o.Queue.Provision(); err != nil {
			return err
		}
	}
	var err error
	if o.hold, err = o.Hold.WithDefaults(); err != nil {
		return err
	}
	if o.budget, err = o.RetryBudget.withDefaults(); err != nil {
		return err
	}
	if o.rules, err = o.OutlierDetection.Rules(); err != nil {
		return err
	}
	return o.nameChecks()
}

// signature tells the histories of the same upstreams apart. The other options may
// change, and the history goes on.
func (o *Options) signature() string {
	levels, _ := json.Marshal([]any{o.Priorities, o.Backups}) // integers and text: no error
	names := make([]string, len(o.HealthChecks))
	for i, c := range o.HealthChecks {
		names[i] = c.Name
	}
	return fmt.Sprintf("%s %q", levels, names)
}

// overprovisioning returns the factor.
func (o *Options) overprovisioning() float64 {
	if o.Overprovisioning == nil {
		return defaultOverprovisioning
	}
	return *o.Overprovisioning
}

// checkStatic returns an error if an option names an upstream that does not exist.
func (o *Options) checkStatic(addresses []string) error {
	for _, a := range []*assigned{&o.weights, &o.levels, &o.backups, &o.limits} {
		if err := a.checkStatic(addresses); err != nil {
			return err
		}
	}
	for _, address := range addresses {
		if o.backups.has(address) && o.levels.has(address) {
			return fmt.Errorf("backup: '%s' has a priority, too, but a backup is on no level; remove one of them", address)
		}
	}
	return nil
}
