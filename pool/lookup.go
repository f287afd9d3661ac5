package pool

import "github.com/caddy-evenkeel/evenkeel/internal/instant"

// What operators ask of one upstream of a pool. An upstream goes by its address and by
// the address that is dialled.

func (m *member) named(address string) bool {
	return address != "" && (m.address == address || m.dialled == address)
}

// Has reports whether the pool has the upstream.
func (p *Pool) Has(address string) bool {
	for _, m := range p.members() {
		if m.named(address) {
			return true
		}
	}
	return false
}

// EachAddress calls the function with all addresses of the pool's upstreams.
func (p *Pool) EachAddress(f func(address string)) {
	for _, m := range p.members() {
		if f(m.address); m.dialled != m.address && m.dialled != "" {
			f(m.dialled)
		}
	}
}

// ViewsOf returns what operators see of the upstream: a pool may have it several times.
func (p *Pool) ViewsOf(address string) []UpstreamView {
	return p.upstreamViews(instant.Now(), func(m *member) bool { return m.named(address) })
}

// OrderedBy returns the address that orders for the upstream name; empty where nothing
// can be ordered of it, since its address depends on the request, or where the pool has
// no such upstream.
func (p *Pool) OrderedBy(address string) string {
	for _, m := range p.members() {
		if m.named(address) && m.known != nil {
			return m.dialled
		}
	}
	return ""
}

// Weighted reports whether the pool's policy knows weights.
func (p *Pool) Weighted() bool { return !p.options.unweighted }

// Probe has all checks of the upstream probe it at once. It reports whether the pool has
// the upstream, and how many checks there are.
func (p *Pool) Probe(address string) (found bool, checks int) {
	for _, m := range p.members() {
		if !m.named(address) {
			continue
		}
		found = true
		for _, w := range m.watches {
			if w.ProbeNow() {
				checks++
			}
		}
	}
	return found, checks
}
