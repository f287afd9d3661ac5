package admin

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-evenkeel/evenkeel/internal/orders"
)

// order is the flags of a command that gives an order, and what it does with them.
type order struct {
	where       *where
	pool        string // empty: all pools that have the upstream
	ttl, reason string
	wait        bool
	timeout     time.Duration // of the wait; 0: none
}

// upstreamCommands returns the commands that are about an upstream.
func upstreamCommands(w *where) []*cobra.Command {
	return []*cobra.Command{
		drainCommand(w, orders.Drain, "Send an upstream nothing but what belongs to its sessions",
			"The upstream gets no new requests. Requests and web sockets that it has go on, and\n"+
				"clients that a sticky policy has bound to it stay with it: see 'maintenance'."),
		drainCommand(w, orders.Maintenance, "Send an upstream nothing at all",
			"The upstream gets no new requests, not even those of its sessions. Requests and web\nsockets that it has go on."),
		readyCommand(w), weightCommand(w), checkCommand(w),
	}
}

// drainCommand returns the command that orders the state, which keeps traffic away.
func drainCommand(w *where, state orders.State, short, long string) *cobra.Command {
	o := &order{where: w}
	cmd := &cobra.Command{
		Use: string(state) + " <address>", Short: short, Long: long + `

With --wait it returns once nothing is in flight on the upstream, in this instance
of Caddy: then the upstream may be stopped. Web sockets are in flight as long as
they are open, so give a --timeout where clients keep them.`,
		Example: fmt.Sprintf("  $ caddy lb %s 10.0.0.1:80 --wait --timeout 5m --reason \"kernel update\" && ssh 10.0.0.1 reboot", state),
	}
	o.flags(cmd, true)
	cmd.Flags().BoolVar(&o.wait, "wait", false, "Wait until nothing is in flight on the upstream")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 0, "Give up waiting after this time; the order stays (default: wait for ever)")
	_ = cmd.RegisterFlagCompletionFunc("timeout", cobra.NoFileCompletions)
	o.runs(cmd, func(ctx context.Context, c *client, out io.Writer, args []string) error {
		if !o.wait && cmd.Flags().Changed("timeout") {
			return failed(exitUsage, "--timeout is of no use without --wait")
		}
		if o.timeout < 0 {
			return failed(exitUsage, "--timeout: %s is below zero", o.timeout)
		}
		// A ttl and a reason that an earlier order has are not this one's.
		body := map[string]any{"state": state, "ttl": o.ttl, "reason": o.reason}
		if err := o.give(ctx, c, out, args[0], body); err != nil || !o.wait {
			return err
		}
		return waitIdle(ctx, c, out, args[0], o.pool, o.timeout)
	}, "address")
	return cmd
}

func readyCommand(w *where) *cobra.Command {
	o := &order{where: w}
	cmd := &cobra.Command{
		Use: "ready <address>", Short: "End drain or maintenance of an upstream",
		Long: `Ends an order of drain or maintenance. An order of a weight stays, and so does what
health checks and the upstream's agent say.

With --pool, it ends an order for this pool. Where there is one for all pools, it is
an order of its own, which goes before that.`,
		Example: "  $ caddy lb ready 10.0.0.1:80",
	}
	o.flags(cmd, true)
	o.runs(cmd, func(ctx context.Context, c *client, out io.Writer, args []string) error {
		if ttl, reason := cmd.Flags().Changed("ttl"), cmd.Flags().Changed("reason"); o.pool != "" && !ttl && !reason {
			if done, err := o.withdraw(ctx, c, args[0]); err != nil {
				return err
			} else if done {
				return o.tell(ctx, c, out, args[0])
			}
		}
		return o.give(ctx, c, out, args[0], o.given(cmd, map[string]any{"state": orders.Ready}))
	}, "address")
	return cmd
}

func weightCommand(w *where) *cobra.Command {
	o := &order{where: w}
	cmd := &cobra.Command{
		Use: "weight <address> <n>|default", Short: "Give an upstream another weight than the configured one",
		Long: `Gives the upstream a weight, or with 'default' the configured one again. With 0 it
gets only what belongs to its sessions.`,
		Example: "  $ caddy lb weight 10.0.0.1:80 5 --ttl 1h\n  $ caddy lb weight 10.0.0.1:80 default",
	}
	o.flags(cmd, true)
	o.runs(cmd, func(ctx context.Context, c *client, out io.Writer, args []string) error {
		body := map[string]any{"weight": nil}
		if args[1] != "default" {
			n, err := strconv.Atoi(args[1])
			if err != nil || n < 0 || n > orders.MaxWeight {
				return failed(exitUsage, "weight: '%s' is neither an integer between 0 and %d nor 'default'", args[1], orders.MaxWeight)
			}
			body["weight"] = n
		}
		return o.give(ctx, c, out, args[0], o.given(cmd, body))
	}, "address", "weight")
	return cmd
}

func checkCommand(w *where) *cobra.Command {
	o := &order{where: w}
	cmd := &cobra.Command{
		Use: "check <address>", Short: "Have an upstream's health checks probe it now",
		Long:    "Has all health checks of the upstream probe it at once. It does not wait for the results.",
		Example: "  $ caddy lb check 10.0.0.1:80",
	}
	o.poolFlag(cmd)
	o.runs(cmd, func(ctx context.Context, c *client, out io.Writer, args []string) error {
		path := upstreamPath(args[0]) + "/check"
		if o.pool != "" {
			path += "?pool=" + url.QueryEscape(o.pool)
		}
		var began struct {
			Checks int `json:"checks"`
		}
		if err := c.call(ctx, http.MethodPost, path, nil, &began); err != nil {
			return err
		}
		fmt.Fprintf(out, "%s: checks that probe it now: %d\n", printable(args[0]), began.Checks)
		return nil
	}, "address")
	return cmd
}

// poolCommands returns the commands that are about a pool.
func poolCommands(w *where) []*cobra.Command {
	pausing, resuming := &order{where: w}, &order{where: w}
	pause := &cobra.Command{
		Use: "pause <pool>", Short: "Hold the requests of a pool",
		Long: `Requests of the pool wait, as many and as long as its option 'hold' lets them, and are
served when it is resumed. Those in flight go on.`,
		Example: "  $ caddy lb pause web --ttl 1m --reason \"migration\"",
	}
	pausing.flags(pause, false)
	pausing.runs(pause, func(ctx context.Context, c *client, out io.Writer, args []string) error {
		return giveToPool(ctx, c, out, args[0], map[string]any{"state": orders.Paused, "ttl": pausing.ttl, "reason": pausing.reason})
	}, "pool")
	resume := &cobra.Command{
		Use: "resume <pool>", Short: "Serve the requests of a paused pool",
		Long:    "Ends a pause. The requests that wait are served.",
		Example: "  $ caddy lb resume web",
	}
	resuming.runs(resume, func(ctx context.Context, c *client, out io.Writer, args []string) error {
		return giveToPool(ctx, c, out, args[0], map[string]any{"state": orders.Open})
	}, "pool")
	return []*cobra.Command{pause, resume}
}

func (o *order) poolFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.pool, "pool", "", "Only in this pool (default: in all that have the upstream)")
	_ = cmd.RegisterFlagCompletionFunc("pool", completePools(o.where))
}

func (o *order) flags(cmd *cobra.Command, ofUpstream bool) {
	if ofUpstream {
		o.poolFlag(cmd)
	}
	cmd.Flags().StringVar(&o.ttl, "ttl", "", "The order ends by itself after this time, such as 30m")
	cmd.Flags().StringVar(&o.reason, "reason", "", "Why: shown wherever the order is")
	_ = cmd.RegisterFlagCompletionFunc("ttl", cobra.NoFileCompletions)
	_ = cmd.RegisterFlagCompletionFunc("reason", cobra.NoFileCompletions)
}

// runs sets what the command does with its arguments, which have the names.
func (o *order) runs(cmd *cobra.Command, run func(context.Context, *client, io.Writer, []string) error, names ...string) {
	takes(cmd, names...)
	cmd.ValidArgsFunction = completeArgs(o.where, names)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if cmd.Flags().Changed("pool") && o.pool == "" {
			return exit(cmd, failed(exitUsage, "--pool is empty"))
		}
		c, err := o.where.client()
		if err == nil {
			err = run(cmd.Context(), c, cmd.OutOrStdout(), args)
		}
		return exit(cmd, err)
	}
}
