// Package selectors holds the policies: one file each, with the Caddy module,
// its options, its grammar and its pick.
package selectors

import (
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
	"github.com/caddy-evenkeel/evenkeel/pool"
)

// namespace is the module namespace of policies.
const namespace = "http.reverse_proxy.selection_policies"

// common is what all policies share: their options and their handle on a pool,
// which makes them a [reverseproxy.Selector].
type common struct {
	pool.Options
	handle pool.Handle
}

// Select implements [reverseproxy.Selector].
func (c *common) Select(upstreams reverseproxy.UpstreamPool, r *http.Request, w http.ResponseWriter) *reverseproxy.Upstream {
	return c.handle.Select(upstreams, r, w)
}

// Cleanup ends what the policy has under way in the background. Picks go on to
// work, for requests that are still in flight.
func (c *common) Cleanup() error { return c.handle.Close() }

// base returns what the policy shares with all others, for the enclosing one.
func (c *common) base() *common { return c }

// provision gives the policy its pool, with a first snapshot.
func (c *common) provision(ctx caddy.Context, policy pool.Policy, f pool.Features) error {
	if err := c.handle.Provision(ctx, &c.Options, policy, f); err != nil {
		return err
	}
	return c.handle.Start()
}

// unmarshalBlock parses the policy's block. Own parses the option at the cursor
// if it is one of the policy's own, of which those named may repeat; it is nil for
// policies that have none.
func (c *common) unmarshalBlock(d *caddyfile.Dispenser, policy string, own func() (known bool, err error), repeating ...string) error {
	seen := make(cfg.Seen)
	for d.NextBlock(0) {
		known, err := pool.UnmarshalOption(&c.Options, d)
		if !known && own != nil {
			if !slices.Contains(repeating, d.Val()) {
				if err := seen.Once(d); err != nil {
					return err
				}
			}
			known, err = own()
		}
		if err != nil {
			return err
		}
		if !known {
			return cfg.Unknown(d, policy)
		}
	}
	return nil
}

// maxDraws is how many choices of its own a picker makes before it settles for any
// candidate that may be picked.
const maxDraws = 8
