package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-evenkeel/evenkeel/pool"
)

// given adds ttl and reason to the body where the flags give them.
func (o *order) given(cmd *cobra.Command, body map[string]any) map[string]any {
	if cmd.Flags().Changed("ttl") {
		body["ttl"] = o.ttl
	}
	if cmd.Flags().Changed("reason") {
		body["reason"] = o.reason
	}
	return body
}

// give gives an order for the upstream, and says what follows.
func (o *order) give(ctx context.Context, c *client, out io.Writer, address string, body map[string]any) error {
	if o.pool != "" {
		body["pool"] = o.pool
	}
	if err := c.call(ctx, http.MethodPatch, upstreamPath(address), body, nil); err != nil {
		return err
	}
	return o.tell(ctx, c, out, address)
}

// tell says what is now with the upstream.
func (o *order) tell(ctx context.Context, c *client, out io.Writer, address string) error {
	follows, err := c.upstream(ctx, address, o.pool)
	if f := (*failure)(nil); errors.As(err, &f) && f.code == exitNotFound || err == nil && len(follows) == 0 {
		fmt.Fprintf(out, "%s: no pool has it at present\n", printable(address))
		return nil
	}
	for _, u := range follows {
		fmt.Fprintf(out, "%s in %s: %s, weight %s: %s%s\n", printable(u.Address), printable(u.Pool), u.State, weightText(&u), printable(u.Reason), orderText(&u))
	}
	return err
}

// orderText says which orders are in force for the upstream.
func orderText(u *pool.UpstreamView) string {
	var all []string
	for _, o := range u.Ordered {
		text := o.String()
		if o.Pool != "" {
			text += " in this pool"
		}
		if o.Ends != nil {
			text += " until " + o.Ends.UTC().Format(time.RFC3339)
		}
		all = append(all, text)
	}
	slices.Sort(all)
	if len(all) == 0 {
		return "; no orders"
	}
	return "; ordered: " + strings.Join(all, ", ")
}

func giveToPool(ctx context.Context, c *client, out io.Writer, name string, body map[string]any) error {
	if err := c.call(ctx, http.MethodPatch, poolPath(name), body, nil); err != nil {
		return err
	}
	var v pool.View
	if err := c.call(ctx, http.MethodGet, poolPath(name), nil, &v); err != nil {
		if exitCode(err) == exitNotFound {
			fmt.Fprintf(out, "%s: there is no such pool at present\n", printable(name))
			return nil
		}
		return err
	}
	text := fmt.Sprintf("%s: %s", v.Name, v.State)
	if v.Reason != "" {
		text += ": " + v.Reason
	}
	fmt.Fprintf(out, "%s; requests held: %d\n", printable(text), v.Held)
	return nil
}

// withdraw withdraws the order for the upstream in the pool, unless it orders a weight,
// too, or there is an order for all pools that has to be overridden: an order of ready
// that overrides nothing would go before the next drain. It reports whether no order is
// left in the pool.
func (o *order) withdraw(ctx context.Context, c *client, address string) (done bool, err error) {
	views, err := c.upstream(ctx, address, o.pool)
	if err != nil {
		return false, err
	}
	var listed []listedOrder
	if err := c.call(ctx, http.MethodGet, "orders", nil, &listed); err != nil {
		return false, err
	}
	given := false
	for _, l := range listed {
		switch {
		case !slices.ContainsFunc(views, func(u pool.UpstreamView) bool { return named(&u, l.Address) }):
		case l.Pool == "" && keepsAway(l.Order), l.Pool == o.pool && l.Weight != nil:
			return false, nil
		case l.Pool == o.pool:
			given = true
		}
	}
	if !given {
		return true, nil
	}
	return true, c.call(ctx, http.MethodDelete, upstreamPath(address)+"?pool="+url.QueryEscape(o.pool), nil, nil)
}
