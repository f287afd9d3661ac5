package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

func init() { caddy.RegisterModule(source{}) }

// Names of upstreams that the source makes up: nobody listens there.
const numGhosts = 500

// source is a source of upstreams whose answer is another one several times a
// second: some of the backends, at times with one that was never there.
type source struct{}

var answer atomic.Pointer[[]string]

// CaddyModule returns the Caddy module information.
func (source) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.reverse_proxy.upstreams.churn", New: func() caddy.Module { return new(source) }}
}

// UnmarshalCaddyfile sets up the source. Syntax:
//
//	dynamic churn
func (source) UnmarshalCaddyfile(*caddyfile.Dispenser) error { return nil }

// GetUpstreams implements reverseproxy.UpstreamSource.
func (source) GetUpstreams(*http.Request) ([]*reverseproxy.Upstream, error) {
	addresses := *answer.Load()
	upstreams := make([]*reverseproxy.Upstream, len(addresses))
	for i, place := range rand.Perm(len(addresses)) {
		upstreams[place] = &reverseproxy.Upstream{Dial: addresses[i]}
	}
	return upstreams, nil
}

// change draws another answer of the source: more backends than may be at fault.
func change(backends []*backend) {
	var addresses []string
	for _, i := range rand.Perm(len(backends))[:numFaulty+2+rand.IntN(len(backends)-numFaulty-1)] {
		addresses = append(addresses, backends[i].addr)
	}
	if n := rand.IntN(2 * numGhosts); n < numGhosts {
		addresses = append(addresses, fmt.Sprintf("127.0.%d.%d:1", 2+n/250, 1+n%250))
	}
	answer.Store(&addresses)
}

// churn changes the answer all the time.
func churn(ctx context.Context, backends []*backend) {
	every(ctx, 200*time.Millisecond, func() { change(backends) })
}
