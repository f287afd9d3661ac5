package pool

import (
	"context"
	"net/http"
	"time"
)

// Policy is a selection policy: it builds a picker for each tier.
type Policy interface {
	// Build returns the picker of a tier that is new or has changed. Before is
	// what Build returned for the tier in its place in the snapshot before; nil
	// where there was none. A picker that the next one asks about its tier keeps a
	// pointer to what is needed of that itself. Calls do not overlap.
	Build(next *Tier, before Picker) Picker
}

// Picker picks from one tier. It does not change, but for atomics.
type Picker interface {
	// Pick returns the index of a candidate that the query accepts; [None] if
	// there is none. The query is valid until Pick returns.
	Pick(q *Query) int
}

// None is what pickers return where no candidate may be picked.
const None = -1

// Features are what a policy does besides picking. Each is optional.
type Features struct {
	// Key returns the same number for requests that should meet the same
	// upstream: where traffic is split between levels, they go to the same one. It
	// reports false for a request that any upstream serves as well.
	Key func(r *http.Request) (key uint32, ok bool)

	// Sessions returns what finds sessions among the upstreams at these dial
	// addresses. It is called once for each membership.
	Sessions func(addresses []string) Sessions

	// Undo removes from the header of the response what an earlier pick for the
	// request has set there. The header is nil where it is not at hand.
	Undo func(r *http.Request, header http.Header)

	// ObserveResponse takes in the header of what the upstream at the address
	// has answered, in the context of the request.
	ObserveResponse func(ctx context.Context, address string, header http.Header)

	// Hide returns the header of a request as upstreams may see it: another map,
	// and true, unless there is nothing to hide.
	Hide func(header http.Header) (http.Header, bool)

	// Remember fetches what the policy keeps over reloads. It is called before the
	// first pick. Kept returns what is kept under a key, made by create if there
	// is nothing.
	Remember func(kept func(key string, create func() any) any)

	// Latency says how latencies are measured, if the policy picks by them.
	Latency *LatencyFeature

	// Bound is how many times its fair share of the requests in flight a candidate
	// gets at most of those that the policy picks for. 0: any number.
	Bound float64
}

// LatencyFeature is how the latencies of a handler's upstreams are measured.
type LatencyFeature struct {
	Decay      time.Duration // within which an estimate forgets, to 1/e
	ToLastByte bool          // until the last byte of a response, not until its header
}

// take has the pool heed the features of a policy that is its own or inside that.
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

// observeResponse shows the policies the header of what an upstream has answered.
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
