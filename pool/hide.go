package pool

import "net/http"

// Hider is a picker that keeps something in requests which upstreams need not see.
type Hider interface {
	// Hide returns the header of a request without that: another map, and true,
	// unless there is nothing to hide.
	Hide(header http.Header) (http.Header, bool)
}

// hide returns the request as upstreams may see it: a copy, if that differs.
func (p *Pool) hide(r *http.Request) *http.Request {
	for _, h := range p.hiders {
		if header, hidden := h.Hide(r.Header); hidden {
			shown := *r
			shown.Header = header
			r = &shown
		}
	}
	return r
}
