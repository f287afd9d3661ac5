package pool

import (
	"context"
	"net/http"
	"time"
)

// Policy is a selection policy: it builds a picker for each tier.
type Policy interface {
	// Build returns the picker of a tier that is new or has changed. Before is the
	// picker of the same tier in the snapshot before; nil if there was none. A picker
	// that the next one asks about its tier keeps what is needed of that. Calls do not
	// overlap.
	Build(next *Tier, before Picker) Picker
}

// Picker picks from one tier. It does not change, except for its atomics.
type Picker interface {
	// Pick returns the index of a candidate that the query accepts; [None] if
	// there is none. The query is valid until Pick returns.
	Pick(q *Query) int
}

// None is what pickers return where no candidate may be picked.
const None = -1

// Features are what a policy does besides picking. Each is optional.
type Features struct {
	// Key returns the same number for requests that should go to the same upstream.
	// Where traffic is split between levels, they go to the same level. Ok is false
	// for a request that any upstream serves as well.
	Key func(r *http.Request) (key uint32, ok bool)

	// Sessions returns what finds sessions among the upstreams at these dial
	// addresses. It is called once for each membership.
	Sessions func(addresses []string) Sessions

	// Undo removes from the header of the response what an earlier pick for the
	// request has set there. The header may be nil: then it only has to note that.
	Undo func(r *http.Request, header http.Header)

	// ObserveResponse receives the header of an answer from the upstream at the
	// address, in the context of the request.
	ObserveResponse func(ctx context.Context, address string, header http.Header)

	// Hide returns the header of a request as upstreams may see it: a copy and true,
	// or false if there is nothing to hide.
	Hide func(header http.Header) (http.Header, bool)

	// Remember gets what the policy keeps over reloads. It is called before the first
	// pick. Kept returns what is kept under a key; create makes it if there is nothing.
	Remember func(kept func(key string, create func() any) any)

	// Latency says how latencies are measured, if the policy picks by them.
	Latency *LatencyFeature

	// Bound is how many times its fair share of the pool's requests in flight a
	// candidate may have. 0: any number.
	Bound float64
}

// LatencyFeature is how the latencies of a handler's upstreams are measured.
type LatencyFeature struct {
	Decay      time.Duration // time in which the weight of a sample falls to 1/e
	ToLastByte bool          // latency lasts until the last byte of a response, not until its header
}

// take takes on a policy: the pool's own, or one inside that. Its features apply to the
// pool.
func (p *Pool) take(h *Handle) {
	f := &h.features
	p.handles = append(p.handles, h)
	p.sessions = p.sessions || f.Sessions != nil
	if f.Undo != nil {
		p.undos = append(p.undos, f.Undo)
	}
	if f.ObserveResponse != nil {
		p.responseObservers = append(p.responseObservers, f.ObserveResponse)
	}
	if f.Hide != nil {
		p.hides = append(p.hides, f.Hide)
	}
	if f.Latency != nil {
		p.latency = f.Latency
	}
	p.counting = p.counting || f.Bound > 0
}

// undo removes what an earlier pick for the request has set on the response.
func (p *Pool) undo(r *http.Request, header http.Header) {
	for _, undo := range p.undos {
		undo(r, header)
	}
}

// observeResponse shows the policies the header of an upstream's answer.
func (p *Pool) observeResponse(ctx context.Context, address string, header http.Header) {
	for _, observe := range p.responseObservers {
		observe(ctx, address, header)
	}
}

// hide returns the request as upstreams may see it: a copy, if that differs.
func (p *Pool) hide(r *http.Request) *http.Request {
	for _, hide := range p.hides {
		if header, hidden := hide(r.Header); hidden {
			shown := *r
			shown.Header = header
			r = &shown
		}
	}
	return r
}
