package pool

import "github.com/prometheus/client_golang/prometheus"

// families are the metrics. Their labels are names that the configuration or a source of
// upstreams gives, and words from fixed lists.
var families = struct {
	// Of a pool.
	attempts, retries, refused, panicking, panics, down, queued, held, queueRefused, orders *prometheus.Desc

	// Of an upstream of a pool.
	state, up, weight, inFlight, latency, begun, ended, brokeOff, took, ejections *prometheus.Desc

	// Of a check of an upstream of a pool.
	probes, probing *prometheus.Desc
}{
	attempts: describe("pool_attempts_total",
		"Attempts that have begun, retries included, on all upstreams of the pool: those that are gone, too."),
	retries: describe("retries_total",
		"Attempts for requests that had attempts before."),
	refused: describe("retries_refused_total",
		"Retries that were not made, for the retry budget was used up."),
	panicking: describe("panic",
		"1 while the pool ignores verdicts and ejections because too few upstreams are healthy, else 0."),
	panics: describe("panic_changes_total",
		"How often a pool began or stopped ignoring verdicts and ejections because too few upstreams were healthy.", "change"),
	down: describe("pool_down",
		"1 since the pool has lost its last upstream, 0 while it has one."),
	queued: describe("queue_length",
		"Requests that wait for an upstream with room."),
	held: describe("held_requests",
		"Requests that wait for an upstream to be back."),
	queueRefused: describe("queue_refused_total",
		"Requests that found the queue full, or waited in vain.", "reason"),
	orders: describe("orders",
		"Orders of operators that are in force, counted for each upstream that they apply to.", "state"),

	state: describeUpstream("upstream_state",
		"1 for the state that the upstream has. The other states have no series.", "state"),
	up: describeUpstream("upstream_up",
		"1 while the upstream gets traffic, 0 while it is down, ejected, checking, draining or in maintenance."),
	weight: describeUpstream("upstream_weight",
		"Weight, with orders, agents and slow start."),
	inFlight: describeUpstream("upstream_in_flight",
		"Attempts of the pool that are in flight."),
	latency: describeUpstream("upstream_latency_seconds",
		"The policy's estimate of the latency; absent where it has none."),
	begun: describeUpstream("attempts_begun_total",
		"Attempts that have begun."),
	ended: describeUpstream("attempts_total",
		"Attempts by class of the answer's status, or by why there was none.", "class"),
	brokeOff: describeUpstream("answers_broken_off_total",
		"Answers that broke off before their end."),
	took: describeUpstream("attempt_duration_seconds",
		"Time from the begin of an attempt to the header of its answer."),
	ejections: describeUpstream("ejections_total",
		"Ejections by outlier detection.", "rule"),

	probes: describeUpstream("check_probes_total",
		"Probes by result. Pools that share a check share its probes.", "check", "result"),
	probing: describeUpstream("check_duration_seconds",
		"Duration of probes.", "check"),
}

// described are all of the families.
var described []*prometheus.Desc

func describe(name, help string, labels ...string) *prometheus.Desc {
	d := prometheus.NewDesc(prometheus.BuildFQName("caddy", "load_balancer", name), help, append(labels, "pool"), nil)
	described = append(described, d)
	return d
}

func describeUpstream(name, help string, labels ...string) *prometheus.Desc {
	return describe(name, help, append(labels, "upstream")...)
}
