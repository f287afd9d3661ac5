package pool

import (
	"time"

	"github.com/caddy-evenkeel/evenkeel/endpoint"
	"github.com/caddy-evenkeel/evenkeel/healthcheck"
	"github.com/caddy-evenkeel/evenkeel/internal/instant"
	"github.com/caddy-evenkeel/evenkeel/internal/orders"
	"github.com/caddy-evenkeel/evenkeel/outlier"
)

// View is a pool as operators see it: API, command line, status page, metrics and log
// all read it.
type View struct {
	Name      string         `json:"name"`
	Policy    string         `json:"policy"`
	State     string         `json:"state"` // open or paused
	Reason    string         `json:"reason,omitempty"`
	Order     *orders.Order  `json:"order,omitempty"`
	Panic     bool           `json:"panic"`                // verdicts and ejections are ignored
	DownSince *time.Time     `json:"down_since,omitempty"` // when it lost its last upstream; absent while it has one
	Queued    int            `json:"queued"`               // requests that wait since all upstreams are full
	Held      int            `json:"held"`                 // requests that wait since all upstreams are down
	Weighted  bool           `json:"weighted"`             // its policy knows weights
	Upstreams []UpstreamView `json:"upstreams"`
}

// UpstreamView is an upstream of a pool.
type UpstreamView struct {
	Pool    string     `json:"pool"`
	Address string     `json:"address"`           // as configured, or as a source has returned it
	Dialled string     `json:"dialled,omitempty"` // where it differs: with placeholders filled in
	State   Code       `json:"state"`
	Since   *time.Time `json:"since,omitempty"`
	Reason  string     `json:"reason"` // why it has the state, in a sentence

	// What the configuration says.
	Configured struct {
		Weight      uint32 `json:"weight"`
		Level       int    `json:"level"`
		Backup      bool   `json:"backup,omitempty"`
		MaxRequests int    `json:"max_requests,omitempty"`
	} `json:"configured"`

	// What operators have ordered; absent for nothing. An order for this pool goes before
	// one for all.
	Ordered []*orders.Order `json:"ordered,omitempty"`

	// What its agents have ordered; absent for nothing.
	Agent string `json:"agent,omitempty"`

	// What checks and requests have found.
	Checks   []CheckView   `json:"checks,omitempty"`
	Ejection *EjectionView `json:"ejection,omitempty"`

	// What follows.
	Weight      float64 `json:"weight"`                 // with orders, agents and slow start; 0: no new traffic
	MaxRequests int     `json:"max_requests,omitempty"` // 0 for any number
	Share       float64 `json:"share"`                  // of the pool's attempts of the last ten seconds, from 0 to 1
	InFlight    int     `json:"in_flight"`              // attempts of this pool

	// Requests to the address of all handlers of this instance, those of earlier
	// configurations included: 0 where it may be stopped.
	AddressInFlight int `json:"address_in_flight"`

	LatencyMS *float64 `json:"latency_ms,omitempty"` // the policy's estimate; absent where it has none

	Attempts AttemptsView `json:"attempts"`

	member *member // for what only metrics tell
}

// CheckView is what a check knows of an upstream.
type CheckView struct {
	Name       string     `json:"name"`
	Verdict    string     `json:"verdict"`
	Degraded   bool       `json:"degraded,omitempty"`
	Reason     string     `json:"reason,omitempty"` // why the latest failed probe failed
	Passes     int        `json:"passes"`           // consecutive
	Fails      int        `json:"fails"`            // consecutive
	Probed     *time.Time `json:"probed,omitempty"` // end of the latest probe
	DurationMS float64    `json:"duration_ms"`      // of the latest probe
	Next       *time.Time `json:"next,omitempty"`   // probe

	probes healthcheck.Probes // for metrics
}

// EjectionView is what outlier detection knows of an upstream.
type EjectionView struct {
	Rule  string     `json:"rule,omitempty"`
	Error string     `json:"error,omitempty"` // the last one
	Ends  *time.Time `json:"ends,omitempty"`  // absent where it ends with a connection
}

// AttemptsView counts the pool's attempts on an upstream since the pool knows it.
type AttemptsView struct {
	Begun     uint64            `json:"begun"`
	Outcomes  map[string]uint64 `json:"outcomes,omitempty"` // by class of status, or why there was no answer
	BrokeOff  uint64            `json:"broke_off"`
	Ejections map[string]uint64 `json:"ejections,omitempty"` // by rule
}

// View returns what operators see of the pool.
func (p *Pool) View() View {
	v := View{Name: p.Name(), Policy: p.policy, State: string(orders.Open), Weighted: !p.options.unweighted}
	if o := p.paused(); o != nil {
		v.State, v.Order, v.Reason = string(orders.Paused), o, "paused"+orderedBy(o)
	}
	v.Queued, v.Held = memories.waiting(p)
	now := instant.Now()
	for _, ms := range append(p.dynamic.all(), p.static) {
		if s := ms.snapshot.Load(); s != nil {
			v.Panic = v.Panic || s.panicking
		}
		if lost := ms.history.outage.lost.Load(); lost != 0 {
			v.DownSince = timeOf(lost)
		}
	}
	v.Upstreams = p.upstreamViews(now, nil)
	return v
}

// upstreamViews returns the views of the members that are wanted; with nil, of all.
func (p *Pool) upstreamViews(now int64, wanted func(*member) bool) []UpstreamView {
	members := p.members()
	views, recent := []UpstreamView{}, []uint64{}
	if wanted == nil {
		views, recent = make([]UpstreamView, 0, len(members)), make([]uint64, 0, len(members))
	}
	var sum uint64
	for _, m := range members {
		n := uint64(0)
		if m.known != nil {
			last, present := m.known.counters.latest(now)
			n = last + present
		}
		sum += n
		if (wanted == nil || wanted(m)) && !p.unlisted(m) {
			recent, views = append(recent, n), append(views, p.viewOf(m, now))
		}
	}
	if sum > 0 {
		for i, n := range recent {
			views[i].Share = float64(n) / float64(sum)
		}
	}
	return views
}

// viewOf returns what operators see of the member.
func (p *Pool) viewOf(m *member, now int64) (v UpstreamView) {
	s := p.stateOf(m, now)
	status := m.status(&s, now)
	if i, ok := p.static.index[m.address]; ok && p.static.members[i] == m && status.takes() {
		status = p.statusOf(p.statics[i], now)
	}
	v.Pool, v.Address, v.State, v.Reason, v.member = p.Name(), m.address, status.Code, status.Detail, m
	if m.dialled != m.address {
		v.Dialled = m.dialled
	}
	if since := m.since(); !since.IsZero() {
		v.Since = &since
	}
	c := &v.Configured
	c.Weight, c.Level, c.MaxRequests = m.configured, m.level, m.limit
	if c.Backup = m.level == backups; c.Backup {
		c.Level = 0
	}
	for _, by := range []*orders.Order{s.order.StateBy, s.order.WeightBy} {
		if by != nil && (len(v.Ordered) == 0 || v.Ordered[0] != by) {
			v.Ordered = append(v.Ordered, by)
		}
	}
	for _, w := range m.watches {
		check := w.State()
		if text := check.Orders.String(); check.Orders != (healthcheck.Orders{}) && text != "none" {
			v.Agent = text
		}
		v.Checks = append(v.Checks, viewOfCheck(w, check))
	}
	v.Ejection = p.viewOfEjection(m, now)
	v.Weight = s.weight * float64(s.percent) / 100
	v.MaxRequests = s.limit
	if m.known == nil {
		return v
	}
	k := &m.known.counters
	v.Attempts = k.view()
	v.InFlight = m.known.inFlight()
	if i, ok := p.static.index[m.address]; ok && p.static.members[i] == m {
		v.AddressInFlight = endpoint.Active(p.statics[i])
	} else if host := m.known.counted.Load(); host != nil {
		v.AddressInFlight = host.NumRequests()
	}
	if p.latency != nil {
		if estimate := m.latency.estimate.Load(); estimate != 0 {
			ms := float64(estimate) / 1e6
			v.LatencyMS = &ms
		}
	}
	return v
}

func viewOfCheck(w *healthcheck.Watch, s healthcheck.State) CheckView {
	v := CheckView{Name: w.Name(), Verdict: s.Verdict.String(), Degraded: s.Degraded, Passes: s.Passes, Fails: s.Fails,
		DurationMS: float64(s.Duration) / 1e6, probes: s.Probes}
	if s.Fails > 0 || s.Verdict == healthcheck.Unhealthy {
		v.Reason = s.Reason
	}
	if !s.Probed.IsZero() {
		v.Probed = &s.Probed
	}
	if next := w.NextProbe(); !next.IsZero() {
		v.Next = &next
	}
	return v
}

func (p *Pool) viewOfEjection(m *member, now int64) *EjectionView {
	h := m.host.State(now, m.connects)
	if h.Phase == outlier.Serving && !h.Failing {
		return nil
	}
	v := &EjectionView{Rule: h.Rule, Error: m.lastError()}
	if h.Until != 0 {
		v.Ends = timeOf(h.Until)
	}
	return v
}

func (c *counters) view() AttemptsView {
	v := AttemptsView{Begun: c.begun.Load(), BrokeOff: c.brokeOff.Load()}
	for i := range c.classes {
		if n := c.classes[i].Load(); n > 0 {
			if v.Outcomes == nil {
				v.Outcomes = make(map[string]uint64)
			}
			v.Outcomes[Classes[i]] = n
		}
	}
	for i := range c.ejections {
		if n := c.ejections[i].Load(); n > 0 {
			if v.Ejections == nil {
				v.Ejections = make(map[string]uint64)
			}
			v.Ejections[outlier.EveryRule[i]] = n
		}
	}
	return v
}

// timeOf returns the time of the instant.
func timeOf(at int64) *time.Time {
	t := time.Now().Add(time.Duration(at - instant.Now()))
	return &t
}
