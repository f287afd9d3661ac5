// Package selectors holds the policies: one file each, with the Caddy module,
// its options, its grammar and its pick.
package selectors

import (
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
	"github.com/caddy-evenkeel/evenkeel/pool"
)

// namespace is the module namespace of policies.
const namespace = "http.reverse_proxy.selection_policies"

// common is what all policies share: their options and their place in a pool,
// which makes them a [reverseproxy.Selector].
type common struct {
	pool.Options
	pool.Handle
}

// Cleanup ends what the policy has under way in the background. Picks go on to
// work, for requests that are still in flight.
func (c *common) Cleanup() error { return c.Close() }

// provision gives the picker its place in a pool, with a first snapshot.
func (c *common) provision(ctx caddy.Context, picker pool.Picker) error {
	if err := c.Handle.Provision(ctx, &c.Options, picker); err != nil {
		return err
	}
	return c.Start()
}

// Build implements [pool.Picker] for policies that need nothing made of the
// candidates.
func (*common) Build(_, _ *pool.Tier, _ any) any { return nil }

// unmarshalBlock parses the policy's block. Own parses the option at the cursor
// if it is one of the policy's own, of which those named may repeat; it is nil for
// policies that have none.
func (c *common) unmarshalBlock(d *caddyfile.Dispenser, policy string, own func() (known bool, err error), repeating ...string) error {
	seen := make(cfg.Seen)
	for d.NextBlock(0) {
		known, err := c.UnmarshalOption(d)
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

// attempts is how many choices of its own a policy makes before it settles for
// any candidate that may be picked.
const attempts = 8
