package pool

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-evenkeel/evenkeel/internal/orders"
	"github.com/caddy-evenkeel/evenkeel/outlier"
	"github.com/caddy-evenkeel/evenkeel/queue"
)

// Collector is the metrics of the process. It keeps nothing: what serves when it is asked
// is what it tells, in whichever configuration's registry it is.
type Collector struct{}

// RegisterCollector registers the metrics with the configuration's registry, once.
func RegisterCollector(ctx caddy.Context) error {
	var already prometheus.AlreadyRegisteredError
	if err := ctx.GetMetricsRegistry().Register(Collector{}); err != nil && !errors.As(err, &already) {
		return fmt.Errorf("registering metrics: %v", err)
	}
	return nil
}

// Describe implements [prometheus.Collector].
func (Collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range described {
		to <- d
	}
}

// Collect implements [prometheus.Collector].
func (Collector) Collect(to chan<- prometheus.Metric) {
	for _, p := range Serving() {
		p.collect(to)
	}
}

// upstreamSeries is an upstream whose series are collected.
type upstreamSeries struct {
	UpstreamView
	labels
}

// collect sends the pool's series. They are in the order of their labels as far as it
// goes, since the registry sorts them.
func (p *Pool) collect(to chan<- prometheus.Metric) {
	v := p.View()
	of := labels{label("pool", p.Name())}
	all := make([]upstreamSeries, len(v.Upstreams))
	for i, u := range v.Upstreams {
		all[i] = upstreamSeries{u, of.with(label("upstream", u.Address))}
	}
	name := func(u upstreamSeries) string { return *u.labels[1].Value }
	slices.SortStableFunc(all, func(a, b upstreamSeries) int { return cmp.Compare(name(a), name(b)) })
	// One may be configured twice, or be dynamic as well: all have the same counters.
	all = slices.CompactFunc(all, func(a, b upstreamSeries) bool { return name(a) == name(b) })
	p.collectPool(to, of, &v, all)
	collectStates(to, all)
	collectAttempts(to, all)
	collectChecks(to, all)
}

func (p *Pool) collectPool(to chan<- prometheus.Metric, of labels, v *View, all []upstreamSeries) {
	f, t := &families, &p.memory.tally
	to <- counter(f.retries, of, t.retries.Load()) // before the attempts: it is a part of them
	to <- counter(f.attempts, of, p.memory.attempts())
	to <- counter(f.refused, of, t.refused.Load())
	to <- gauge(f.panicking, of, number(v.Panic))
	to <- counter(f.panics, of.with(label("change", "entered")), t.panicsEntered.Load())
	to <- counter(f.panics, of.with(label("change", "left")), t.panicsLeft.Load())
	to <- gauge(f.down, of, number(v.DownSince != nil))
	to <- gauge(f.queued, of, float64(v.Queued))
	to <- gauge(f.held, of, float64(v.Held))
	for i, why := range queue.Refusals {
		to <- counter(f.queueRefused, of.with(label("reason", string(why))), t.waits[i].Load())
	}
	given := make(map[string]int)
	if v.Order != nil {
		given[string(v.Order.State)]++
	}
	for _, u := range all {
		for _, o := range u.Ordered {
			given[orderState(o)]++
		}
	}
	for _, state := range orderStates {
		to <- gauge(f.orders, of.with(label("state", state)), float64(given[state]))
	}
}

// orderStates are the states that orders are counted by.
var orderStates = [...]string{string(orders.Drain), string(orders.Maintenance), string(orders.Ready), string(orders.Paused), "weight"}

// orderState returns the state that the order is counted by.
func orderState(o *orders.Order) string {
	if o.State == "" {
		return "weight"
	}
	return string(o.State)
}

func collectStates(to chan<- prometheus.Metric, all []upstreamSeries) {
	f, states := &families, make(map[Code]*dto.LabelPair)
	for _, code := range Codes {
		states[code] = label("state", string(code))
	}
	for i := range all {
		u := &all[i]
		to <- gauge(f.state, labels{u.labels[0], states[u.State], u.labels[1]}, 1)
		to <- gauge(f.up, u.labels, number(u.State.inService()))
		to <- gauge(f.weight, u.labels, u.Weight)
		if u.member.known != nil {
			to <- gauge(f.inFlight, u.labels, float64(u.InFlight))
		}
		if u.LatencyMS != nil {
			to <- gauge(f.latency, u.labels, *u.LatencyMS/1000)
		}
	}
}

func collectAttempts(to chan<- prometheus.Metric, all []upstreamSeries) {
	f := &families
	for i := range all {
		u := &all[i]
		if u.member.known == nil {
			continue
		}
		to <- counter(f.begun, u.labels, u.Attempts.Begun)
		if n := u.Attempts.BrokeOff; n > 0 {
			to <- counter(f.brokeOff, u.labels, n)
		}
		if h := u.member.known.counters.histogram(f.took, u.labels); h != nil {
			to <- h
		}
	}
	for _, class := range Classes {
		l := label("class", class)
		for i := range all {
			if n := all[i].Attempts.Outcomes[class]; n > 0 {
				to <- counter(f.ended, append(labels{l}, all[i].labels...), n)
			}
		}
	}
	for _, rule := range outlier.EveryRule {
		l := label("rule", rule)
		for i := range all {
			if n := all[i].Attempts.Ejections[rule]; n > 0 {
				to <- counter(f.ejections, labels{all[i].labels[0], l, all[i].labels[1]}, n)
			}
		}
	}
}

func collectChecks(to chan<- prometheus.Metric, all []upstreamSeries) {
	f := &families
	passed, failed, void := label("result", "passed"), label("result", "failed"), label("result", "void")
	names := make(map[string]*dto.LabelPair)
	for i := range all {
		u := &all[i]
		for _, c := range u.Checks {
			check := names[c.Name]
			if check == nil {
				check = label("check", c.Name)
				names[c.Name] = check
			}
			pool, upstream, n := u.labels[0], u.labels[1], &c.probes
			to <- counter(f.probes, labels{check, pool, failed, upstream}, n.Failed)
			to <- counter(f.probes, labels{check, pool, passed, upstream}, n.Passed)
			if n.Void > 0 {
				to <- counter(f.probes, labels{check, pool, void, upstream}, n.Void)
			}
			to <- summary(f.probing, append(labels{check}, u.labels...), n.Failed+n.Passed+n.Void, n.Took.Seconds())
		}
	}
}

// inService reports whether an upstream of the code gets traffic; a full one does as soon
// as it has room.
func (c Code) inService() bool {
	switch c {
	case Up, SlowStarting, Degraded, Probation, Full:
		return true
	}
	return false
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
