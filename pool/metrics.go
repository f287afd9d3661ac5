package pool

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddyserver/caddy/v2"
)

// metrics are those of all pools of the process.
var metrics = struct {
	panics, ejections, refused, retriesRefused *prometheus.CounterVec
	queued, held                               *prometheus.GaugeVec
}{
	panics: counter("panic_changes_total",
		"How often a pool began or stopped ignoring verdicts and ejections because too few upstreams were healthy.",
		"policy", "change"),
	ejections: counter("ejections_total",
		"Ejections of upstreams by outlier detection.",
		"upstream", "rule"),
	refused: counter("queue_refused_total",
		"Requests that found the queue full, or waited in vain.",
		"policy", "reason"),
	retriesRefused: counter("retries_refused_total",
		"Retries that were not made, for the retry budget was used up.",
		"policy"),
	queued: gauge("queue_length",
		"Requests that wait for an upstream with room.",
		"policy"),
	held: gauge("held_requests",
		"Requests that wait for an upstream to be back.",
		"policy"),
}

const namespace, subsystem = "caddy", "load_balancer"

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: namespace, Subsystem: subsystem, Name: name, Help: help,
	}, labels)
}

func gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: namespace, Subsystem: subsystem, Name: name, Help: help,
	}, labels)
}

// registerMetrics registers the metrics with the configuration's registry.
func registerMetrics(ctx caddy.Context) error {
	registry := ctx.GetMetricsRegistry()
	for _, c := range []prometheus.Collector{metrics.panics, metrics.ejections, metrics.refused, metrics.retriesRefused, metrics.queued, metrics.held} {
		var already prometheus.AlreadyRegisteredError
		if err := registry.Register(c); err != nil && !errors.As(err, &already) {
			return fmt.Errorf("registering metrics: %v", err)
		}
	}
	return nil
}
